"""Search: read and exported from Python, as the commands do it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from humtune.api.frames import leaderboard_frame, scores_frame, trials_frame
from humtune.api.model import Model, html_table
from humtune.api.plots import Plots
from humtune.api.start import Started, warn
from humtune.api.trials import limit_of, trial_on
from humtune.errors import HumtuneError, UsageError
from humtune.ledger import Ledger
from humtune.metrics.calibration import FALSE_ALARMS
from humtune.records import TrialRecord, TrialState, of_machine
from humtune.results.archive import trial_stamps
from humtune.results.candidates import choose, exportable_types
from humtune.results.ensembles.record import (
    SUFFIX,
    EnsembleRecord,
    ensemble_scores,
    find_ensemble,
    read_ensemble,
)
from humtune.results.leaderboard import standings

if TYPE_CHECKING:
    from optuna import Study
    from pandas import DataFrame

    from humtune.api.detector import Detector
    from humtune.export.choice import Kind
    from humtune.report.table import Report


class Search(Started):
    """A search that there is: what it found, more of it, and what can be made of that.

    Everything is read from its storage when it is asked for, so it may be looked at while it runs elsewhere.
    Ω and the like are fractions, 0…1; of scores, higher is stranger.
    """

    def trials(self, machine: str | None = None) -> "DataFrame":
        """A row a trial: machine, family, state, score, objective, Ω, pseudo-Ω, seconds, what was searched.

        Of one machine, or of all of them. `score` is its best score type, whose Ω and pseudo-Ω these are, and
        `objective` what it is judged by. What the sampler chose stands last, by dotted names.
        """
        return trials_frame(self.ledger.trials_of(self._machine(machine)) if machine else self._records())

    def leaderboard(self, machine: str | None = None) -> "DataFrame":
        """A row a machine and kind of detector, the best first: its best trial, cross-fitted Ω, its gain.

        `omega_cross_fitted` is read on clips that did not choose; `omega_select_official` is the best trial's
        on those that did, with its 90 % interval; `brings` what the ensemble loses without the kind.
        """
        machines, stamps = (self._machine(machine),) if machine else self.machines, trial_stamps(self.ledger)
        return leaderboard_frame(
            line for own in machines for line in standings(self.ledger, own, stamps=stamps)
        )

    def scores(self, trial: str, score_type: str | None = None, *, machine: str | None = None) -> "DataFrame":
        """Scores of the scored clips by a trial or an ensemble (`fan-ensemble`): a row a clip.

        A column for each score type, or for the one that is named. `machine` says of whose clips, where the
        trial is of all machines together. UsageError where it has no such score.
        """
        if trial.endswith(SUFFIX):
            record = read_ensemble(self.ledger, self._machine(trial.removesuffix(SUFFIX)))
            clips = self.ledger.clips(record.machine)
            return scores_frame(clips, {"ensemble": ensemble_scores(self.ledger, record)})
        found = trial_on(self.ledger, trial, machine)
        known = tuple(found.judged) if found.state == TrialState.COMPLETE else ()
        wanted = known if score_type is None else (score_type,)
        if not wanted or (missing := [name for name in wanted if name not in known]):
            what = f"no scores of type '{missing[0]}'; it has {', '.join(known)}" if known else "no scores"
            raise UsageError(f"{trial} is {found.state}, and has {what}")
        clips = self.ledger.clips(found.machine)
        return scores_frame(
            clips, {name: self.ledger.scores(found.folder, name, clips=len(clips)) for name in wanted}
        )

    def detector(
        self, trial: str, score_type: str | None = None, *, machine: str | None = None
    ) -> "Detector":
        """A trial's detector, fitted: it scores arrays and files by its best score type, or another one.

        Its limit is what held-out healthy clips of each domain give; a warning says where they are too few.
        `machine` says whose, where the trial is of all machines together. UsageError for one that isn't
        complete, or a score type that asks for a sound's section; HumtuneError where its weights are lost.
        """
        from humtune.api.detector import Detector
        from humtune.export.blueprint import load_detector

        found = trial_on(self.ledger, trial, machine)
        known = exportable_types(found.config, found.judged)
        name = score_type or max(known or found.judged, key=found.judged.__getitem__, default=None)
        scores = self.scores(trial, name, machine=machine)
        if name is None or name not in known:
            other = f"take {' or '.join(known)}" if known else "so does all that it has; take another trial"
            raise UsageError(
                f"{trial}: {name} needs a clip's section, which a new sound doesn't tell; {other}"
            )
        fitted = load_detector(self.ledger, found, self.ledger.bank(found.machine))
        limit = limit_of(scores[name].to_numpy(), self.ledger.clips(found.machine))
        if limit is None:
            raise HumtuneError(f"{found.machine}: no healthy clip was held out, so nothing sets a limit")
        return Detector.fitted(fitted, name, limit, channel=self.plan.asked.channel)

    def study(self, machine: str) -> "Study":
        """A machine's trials that have ended as an Optuna study in memory: for its plots and importances.

        What confirms the best is left out. `humtune optuna` writes the same into a file.
        """
        from humtune.search.journal import study_of

        return study_of(self.ledger, self._machine(machine))

    @property
    def plot(self) -> Plots:
        """Its plots: `.plot.history()`, `.plot.scores()`, `.plot.roc()`, `.plot.probes()`."""
        return Plots(self.ledger)

    def report(self) -> "Report":
        """Measure each machine's best, and write the table and plots of `humtune report` beside the search.

        Its `to_frame()` is the table, its `files` lie in the storage.
        """
        from humtune.report.write import write_report

        return write_report(self.ledger)

    def ensemble(
        self,
        *,
        machines: Sequence[str] | None = None,
        members: int | None = None,
        imports: Sequence[str | Path] = (),
        exportable: bool = False,
    ) -> dict[str, EnsembleRecord]:
        """Choose each machine's ensemble out of its complete trials, and keep it beside the search.

        Machine -> its members, weights, and what it is worth. A clip is scored with `members` at most: 8
        where nobody says, and the 16 heaviest trials where no labels judged them. `imports` are folders of
        other systems' score files; with `exportable` only what a model can score is a member. HumtuneError
        where none can be made.
        """
        from humtune.report.ensembles import write_ensembles
        from humtune.results.ensembles.make import make_ensembles

        made = make_ensembles(
            self.ledger,
            machines=machines,
            members=members,
            imports=[Path(folder) for folder in imports],
            exportable=exportable,
        )
        write_ensembles(self.ledger)
        warn(made.skipped)
        return {record.machine: record for record in made.records}

    def ensembles(self) -> dict[str, EnsembleRecord]:
        """The ensembles that were made, by machine."""
        return {m: record for m in self.machines if (record := find_ensemble(self.ledger, m))}

    def export(
        self,
        out: str | Path = "models",
        *,
        machines: Sequence[str] | None = None,
        false_alarms: float = FALSE_ALARMS,
        product: "Kind | None" = None,
        ms: float | None = None,
        int8: bool = False,
        register: bool = False,
    ) -> dict[str, Model]:
        """Write each machine's model to `out`/<machine>, and load it.

        It is what is best of what scores a clip of 10 s within `ms` of one core here, or the `product`
        "single" or "ensemble". `false_alarms` (0…1) is the share of new healthy recordings that its limit may
        flag. With `int8` a smaller one lies in it too, with `register` it goes to MLflow's registry. What
        can't be exported is named in a warning; HumtuneError where nothing can.
        """
        from humtune.export.search import export_search
        from humtune.tracking.registry import register as put

        exports = export_search(
            self.ledger,
            Path(out),
            machines=machines,
            false_alarms=false_alarms,
            product=product,
            ms=ms,
            int8=int8,
        )
        warn((*exports.skipped, *exports.failed))
        whole = [model for model in exports.models if model.folder.parent == Path(out)]
        for model in whole if register else ():
            put(Ledger(self.ledger.storage, model.info.search), model.folder, model.scores)
        return {model.info.machine: Model.load(model.folder) for model in whole}

    def submit(self, out: str | Path = "submission", *, ensemble: bool = False) -> tuple[Path, ...]:
        """Write the challenge's submission, of each machine's best or its ensemble; its files."""
        from humtune.report.submission import write_submission

        written = write_submission(self.ledger, Path(out), ensembles=ensemble)
        warn((*written.skipped, *written.failed))
        return tuple(written.files)

    def track(self) -> str:
        """Bring MLflow up to date with it, and say where that is; safe to repeat."""
        from humtune.tracking import sync, tracking_uri

        uri = tracking_uri(self.ledger.storage)
        sync(self.ledger, uri=uri)
        return uri

    def __repr__(self) -> str:
        return f"Search({self.name!r}, storage={self.ledger.storage.uri!r})"

    def _repr_html_(self) -> str:
        records, plan, rows = self._records(), self.plan, []
        for study in plan.studies:
            states = [record.state for record in records if record.machine == study]
            best = choose(of_machine(records, study))
            said = f"{best.trial.symbol} {100 * best.value:.1f}: {best.name}" if best else ""
            counts = [states.count(state) for state in TrialState]
            wanted = "" if plan.is_endless(study) else f" of {plan.quota(study)}"
            rows.append((study, f"{len(states)}{wanted}", *counts, said))
        head = ("machine", "trials", *map(str, TrialState), "best")
        return f"<p>search {self.name}</p>{html_table(head, rows)}"

    def _records(self) -> list[TrialRecord]:
        return list(self.ledger.records())

    def _machine(self, name: str) -> str:
        if name not in self.machines:
            raise UsageError(
                f"search '{self.name}' has no machine '{name}'; it has {', '.join(self.machines)}"
            )
        return name
