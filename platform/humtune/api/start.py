"""Searches of a storage: how one is started, opened, gone on with and stopped, and which there are."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

from humtune.ledger import Ledger
from humtune.plan import Plan, Resources
from humtune.storage import Storage, usual

if TYPE_CHECKING:
    from pandas import DataFrame

    from humtune.search.space import Space

logger = logging.getLogger(__name__)


class Started:
    """A search in its storage: begun, opened, gone on with, stopped."""

    def __init__(self, ledger: Ledger) -> None:
        """`start` and `open` are how to get one."""
        self.ledger = ledger

    @classmethod
    def open(cls, name: str, *, storage: str | Path | None = None) -> Self:
        """A search by its name; a UsageError that lists the searches where there is none of it.

        `storage` is a folder or a URI; None: HUMTUNE_STORAGE, else humtune-runs.
        """
        return cls(Ledger.open(place_of(storage), name))

    @classmethod
    def start(
        cls,
        space: "str | Path | Mapping[str, Any] | Space",
        data: str | Path,
        *,
        name: str | None = None,
        machines: Sequence[str] | None = None,
        trials: int | None = None,
        shared_trials: int | None = None,
        seeds: int | None = None,
        settings: Mapping[str, Any] | None = None,
        hours: float | None = None,
        holdout: float = 0.0,
        channel: int | None = None,
        earlier: "Started | None" = None,
        resources: Resources | None = None,
        slots: int = 0,
        address: str | None = None,
        storage: str | Path | None = None,
    ) -> Self:
        """Search for each machine's best detector, and come back when all trials have ended.

        With `hours`, when these are over by the clock; then its ensembles are made too.

        `space` is a YAML file, a name of one that humtune carries, or what such a file says as a dict; `data`
        a folder of recordings in the DCASE layout. `settings` by dotted names are fixed whatever the space
        says, `holdout` (0…1) hides a share of the labelled clips from every choice, an `earlier` search is
        where the samplers start, `resources` say what a trial computes on. So many `slots` are trials at a
        time, 0: as many as fit. Ray is started here unless it runs already, then that is used and left as it
        is; `address` names a cluster. Ctrl-C ends the search cleanly, as a KeyboardInterrupt;
        `Search.open(name).resume()` goes on.

        UsageError where the space doesn't fit the recordings, before anything starts; HumtuneError where no
        trial could be completed.
        """
        began = monotonic()
        from humtune.search import run
        from humtune.search.clock import check_hours
        from humtune.search.connection import check_address, check_device, check_temporary
        from humtune.search.space import Space, read_space
        from humtune.search.space.checks import check_space
        from humtune.search.space.overrides import override

        check_hours(hours)
        resources, place = resources or Resources(), place_of(storage)
        if isinstance(space, str | Path):
            called, chosen = read_space(str(space))
        else:
            called = "search"
            chosen = space if isinstance(space, Space) else check_space(dict(space), where="the space")
        chosen = override(chosen, trials=trials, shared_trials=shared_trials, seeds=seeds, settings=settings)
        check_device(resources.device, address)
        check_address(address)
        check_temporary(address)
        ledger = run.prepare(
            chosen,
            name=name or run.free_name(place, called),
            data=Path(data),
            storage=place,
            machines=machines,
            resources=resources,
            hours=hours,
            holdout=holdout,
            channel=channel,
            earlier=earlier.ledger if earlier else None,
        )
        finish(ledger, address, slots, is_new=True, began=began)
        return cls(ledger)

    @property
    def name(self) -> str:
        """What it is called."""
        return self.ledger.name

    @property
    def plan(self) -> Plan:
        """What it was asked to do, and what was found of its machines before it began."""
        return self.ledger.plan

    @property
    def machines(self) -> tuple[str, ...]:
        """Its machines."""
        return tuple(self.plan.machines)

    def resume(
        self,
        *,
        trials: int | None = None,
        shared_trials: int | None = None,
        hours: float | None = None,
        confirm: int | None = None,
        seeds: int = 3,
        slots: int = 0,
        address: str | None = None,
    ) -> Self:
        """Go on until all trials have ended, so many `trials` a machine, or its `hours` are over; itself.

        `confirm` trains so many of each machine's best again, with so many new `seeds`. Else as `start`.
        """
        began = monotonic()
        from humtune.search.clock import check_hours
        from humtune.search.run import want

        check_hours(hours)
        want(self.ledger, trials=trials, shared_trials=shared_trials, hours=hours)
        if confirm is not None:
            self.ledger.write_plan(self.plan.asking(confirm=confirm, confirm_seeds=seeds))
        finish(self.ledger, address, slots, began=began)
        return self

    def stop(self) -> None:
        """Ask whoever runs it to end it cleanly, within seconds; it can be resumed."""
        self.ledger.request_stop()


def searches(storage: str | Path | None = None) -> "DataFrame":
    """A row for each search of a storage: machines, trials by state, best Ω or pseudo-Ω, in their order."""
    from pandas import DataFrame, to_datetime

    from humtune.report.searches import SearchSummary, summarise

    columns = list(SearchSummary.__dataclass_fields__)
    frame = DataFrame([vars(found) for found in summarise(place_of(storage))], columns=columns)
    frame["created"] = to_datetime(frame["created"], unit="s", utc=True)
    return frame.set_index("name")


def finish(ledger: Ledger, address: str | None, slots: int, *, is_new: bool = False, began: float) -> None:
    """Run what is left of a search; of one with `hours`, which run since `began`, make its ensembles too.

    KeyboardInterrupt where a signal ended it; HumtuneError where no trial at all could be completed.
    """
    from humtune.search.to_end import conclude, found_nothing, run_to_end

    studies, interruption = run_to_end(ledger, address, slots, is_new=is_new, began=began)
    if interruption.signal:
        raise KeyboardInterrupt(
            f"search '{ledger.name}' ended; Search.open('{ledger.name}').resume() goes on"
        )
    made = conclude(studies)
    warn([f"{machine}: {why}" for machine, why in found_nothing(studies).items()])
    warn(made.skipped if made else ())


def place_of(storage: str | Path | None) -> Storage:
    """The storage that is named, or the usual one."""
    return usual() if storage is None else Storage(storage)


def warn(sentences: Sequence[str]) -> None:
    """Log what a person should know of, as a warning each."""
    for sentence in sentences:
        logger.warning("%s", sentence)
