"""A search that stands for one of the paper's results: its points, and whether they can be set against it."""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any

from humtune.config import leaves
from humtune.detectors.classifier.heads import VariationalHead
from humtune.detectors.classifier.recipe import Classifier
from humtune.detectors.recipe import recipe_of
from humtune.errors import UsageError
from humtune.ledger import Ledger
from humtune.records import OWN
from humtune.report.paper.printed import MACHINES, SPECTROGRAMS
from humtune.report.systems import is_part
from humtune.results.points import Point, group_by, measure_points, over_machines
from humtune.sounds.table import ClipTable, Role

Key = Callable[[Classifier], Hashable]
CLIPS = 50  # of each section, domain and label of the DCASE 2022 development set


@dataclass(frozen=True, eq=False)
class Study:
    """What a table or figure of the paper is made from."""

    search: str
    machines: tuple[str, ...]
    points: tuple[Point, ...]  # of single machines, with at least one score type
    departures: tuple[str, ...]  # why no figure can be set against the paper's; none where it can
    notes: tuple[str, ...] = ()

    def of(self, machine: str, key: Key) -> dict[Any, Point]:
        """A machine's points by what a key reads from their configuration; the key None leaves one out.

        UsageError where two points have one key: then the search varies something else too.
        """
        groups = group_by((p for p in self.points if p.machine == machine), lambda p: key(classifier(p)))
        groups.pop(None, None)
        for name, same in groups.items():
            if len(same) > 1:
                raise UsageError(
                    f"search '{self.search}': {machine} has {len(same)} points with {name}, which differ in "
                    f"{', '.join(_differing(same))}; the paper's result has one of each"
                )
        return {name: same[0] for name, same in groups.items()}

    def across(self, key: Key) -> dict[Any, Point]:
        """Points over all machines that have them, by what a key reads from their configuration."""
        found = [item for machine in self.machines for item in self.of(machine, key).items()]
        groups = group_by(found, lambda item: item[0])
        return {name: over_machines(point for _, point in items) for name, items in groups.items()}


def read_study(ledger: Ledger, *, spectrogram_searched: bool = False) -> Study:
    """Measure a search's points and hold its recordings and settings against the paper's."""
    points, notes = measure_points(ledger, cross_fitted=False)
    machines = tuple(ledger.plan.machines)
    found = tuple(p for p in points if p.score_types and p.network == OWN)
    departures = _other_data([ledger.clips(machine) for machine in machines])
    departures += _other_settings(found, spectrogram_searched=spectrogram_searched)
    return Study(ledger.name, machines, found, tuple(departures), tuple(notes))


def classifier(point: Point) -> Classifier:
    """A point's recipe; a UsageError where it is of another family than the paper's."""
    recipe = recipe_of(point.config)
    if not isinstance(recipe, Classifier):
        raise UsageError(f"{point.machine}: the paper has classifiers alone, and no {recipe.family}")
    return recipe


def setting(config: Classifier) -> tuple[float, float, float] | None:
    """(mu, sigma2, beta_class) of a variational head; None of another."""
    head = config.head
    return (head.mu, head.sigma2, head.beta_class) if isinstance(head, VariationalHead) else None


def _other_data(tables: Iterable[ClipTable]) -> list[str]:
    """In what the recordings are not the paper's: the seven machines, sections 0 to 2, 50 clips a cell."""
    tables = list(tables)
    here = {table.machine for table in tables}
    found = []
    if here != {*MACHINES}:
        missing = [m for m in MACHINES if m not in here]
        extra = sorted(here - {*MACHINES})
        parts = [f"without {', '.join(missing)}"] * bool(missing) + [f"with {', '.join(extra)}"] * bool(extra)
        found.append(f"the machines are not the paper's seven ({'; '.join(parts)})")
    others = [t.machine for t in tables if not is_part(t, Role.SELECT, (0, 1, 2), CLIPS)]
    if others:
        found.append(
            f"the selecting clips of {', '.join(others)} are not DCASE 2022's development set "
            f"(sections 0 to 2, {CLIPS} clips in each of source and target, normal and anomaly)"
        )
    return found


def _other_settings(points: Iterable[Point], *, spectrogram_searched: bool) -> list[str]:
    """Settings that the paper fixes, or that humtune settled where it doesn't, and that are others here."""
    paper = dict(leaves(_frame(Classifier())))
    found: dict[str, set[str]] = {}
    other = set()
    for point in points:
        recipe = classifier(point)
        for name, value in leaves(_frame(recipe)):
            if value != paper.get(name):
                found.setdefault(name, set()).add(str(value))
        if not spectrogram_searched and SPECTROGRAMS.get(point.machine) != recipe.spectrogram:
            other.add(point.machine)
    notes = [f"{name} is {' or '.join(sorted(v))}, not {paper.get(name)}" for name, v in found.items()]
    if other:
        notes.append(f"the spectrogram of {', '.join(sorted(other))} is not that of Table 2")
    return notes


def _frame(config: Classifier) -> dict[str, Any]:
    """What all of the paper's trials have in common."""
    return config.model_dump(include={"backbone", "training", "labels", "scoring"})


def _differing(points: list[Point]) -> list[str]:
    trees = [dict(leaves({**p.config, "seed": None})) for p in points]
    names = dict.fromkeys(name for tree in trees for name in tree)
    return [n for n in names if len({repr(tree.get(n)) for tree in trees}) > 1]
