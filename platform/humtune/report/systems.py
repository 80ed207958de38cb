"""Published systems that a search has run, beside what was published of them where that can stand there."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np
from pydantic import ValidationError
from rich import box
from rich.table import Table

from humtune.detectors.recipe import Recipe, recipe_of
from humtune.errors import UsageError
from humtune.formatting.text import MISSING, escaped, in_percent, to_csv, to_markdown
from humtune.ledger import Ledger
from humtune.metrics.omega import Metrics
from humtune.report.published import CHALLENGES, RESULTS, Result
from humtune.results.points import Clips, Point, measure_points, over_machines
from humtune.results.reading import Average
from humtune.sounds.table import ANOMALY, NORMAL, SOURCE, TARGET, UNKNOWN, ClipTable, Role

PARTS: dict[str, tuple[Clips, Role]] = {"dev": ("dev", Role.SELECT), "eval": ("eval", Role.REPORT)}
TINY = "tiny/"  # what the name of a small system begins with

_MEASURES: dict[str, Callable[[Metrics], float]] = {
    "Ω": lambda m: float(m.omega_official),
    "AUC": lambda m: float(np.mean([v for s in m.sections for v in s.auc.values()])),
    "pAUC": lambda m: float(np.mean([s.pauc for s in m.sections])),
}


@dataclass(frozen=True, eq=False)
class Line:
    """One measure of one system, ours and the published one, by dev and eval."""

    system: str
    result: Result
    ours: Mapping[str, Average | None]
    published: Mapping[str, float | None]  # in percent; None also where it can't stand beside ours


@dataclass(frozen=True)
class Written:
    """The lines, why a published figure is missing from one, and the files by their names in the storage."""

    lines: tuple[Line, ...]
    notes: tuple[str, ...]
    files: tuple[str, ...]


def write_systems(ledger: Ledger, systems: Mapping[str, Sequence[Recipe]]) -> Written:
    """Write the systems of a search and what was published of them to <search>/report/published.md, .csv.

    `systems` has the recipes of each, whatever their seed; that of a small one is called tiny/NAME.
    UsageError where no point of the search is one of theirs.
    """
    points, notes = measure_points(ledger, cross_fitted=False)
    known = {_settings(recipe): name for name, recipes in systems.items() for recipe in recipes}
    found: dict[str, list[Point]] = {}
    for point in points:
        name = known.get(_settings_of(point.config))
        if name and point.best():
            found.setdefault(name, []).append(point)
    if not found:
        names = ", ".join(name for name in systems if not name.startswith(TINY))
        raise UsageError(
            f"search '{ledger.name}' has no complete trial of a published system as humtune carries it, on "
            f"labelled clips; `humtune search systems/NAME` runs one: {names}"
        )
    tables = {machine: ledger.clips(machine) for machine in ledger.plan.machines}
    lines: list[Line] = []
    for name in (name for name in systems if name in found):
        here, why = _lines(name, found[name], tables)
        lines, notes = lines + here, notes + why
    notes = list(dict.fromkeys(notes))
    folder = ledger.layout.report
    ledger.storage.write(f"{folder}/published.md", _markdown(ledger.name, lines, notes).encode())
    ledger.storage.write(f"{folder}/published.csv", to_csv([to_dict(line) for line in lines]))
    return Written(tuple(lines), tuple(notes), (f"{folder}/published.md", f"{folder}/published.csv"))


def _lines(
    name: str, points: Sequence[Point], tables: Mapping[str, ClipTable]
) -> tuple[list[Line], list[str]]:
    """A system's lines, and why a published figure doesn't stand in one."""
    system = name.removeprefix(TINY)
    lines, notes = [], []
    for result in RESULTS.get(system, ()) or (Result(measure="Ω", what="nothing of it alone"),):
        own = [point for point in points if _is_of(result, point)]
        if not own:
            continue
        best = [_best(p for p in own if p.machine == machine) for machine in tables]
        missing = [machine for machine, point in zip(tables, best, strict=True) if point is None]
        ours = over_machines(point for point in best if point)
        read, published = {}, {}
        for part, (clips, role) in PARTS.items():
            read[part] = _average(ours, clips, result.measure)
            published[part] = getattr(result, part)
            if published[part] is None:
                continue
            why = [f"its trials are of systems/{name}"] if name.startswith(TINY) else []
            why += [f"no trial of {', '.join(missing)} is complete"] if missing else []
            why += other_recordings(tables.values(), result.year, part=part, role=role)
            if why:
                notes.append(
                    f"{system}: the published {result.measure} on {part} ({result.year}) is left out: "
                    f"{'; '.join(why)}"
                )
                published[part] = None
        lines.append(Line(name, result, read, published))
    return lines, notes


def _is_of(result: Result, point: Point) -> bool:
    """Whether a published figure is of a point's settings."""
    if result.of is None:
        return True
    setting, value = result.of
    return bool(attrgetter(setting)(recipe_of(point.config)) == value)


def _best(points: Iterable[Point]) -> Point | None:
    """The point with the highest mean Ω on the clips that choose, with the score type that has it."""
    heights = [(average.mean, p.using(s)) for p in points if (s := p.best()) and (average := p.omega(s))]
    return max(heights, key=lambda pair: pair[0], default=(0.0, None))[1]


def _average(point: Point, clips: Clips, measure: str) -> Average | None:
    found = [seed.on(clips).get("own") for seed in point.seeds]
    return Average.of(_MEASURES[measure](metrics) for metrics in found if metrics)


def other_recordings(tables: Iterable[ClipTable], year: int, *, part: str, role: Role) -> list[str]:
    """In what the clips of a role are not a part of a year's challenge: its machines, sections, counts."""
    tables, challenge = list(tables), CHALLENGES[year]
    wanted = {machine: sections[part] for machine, sections in challenge.sections.items()}
    here = {table.machine for table in tables}
    why = []
    if missing := [machine for machine in wanted if machine not in here]:
        why.append(f"the search is without {', '.join(missing)}")
    if more := sorted(here - {*wanted}):
        why.append(f"{', '.join(more)} {'is' if len(more) == 1 else 'are'} not of DCASE {year}")
    others = [
        table.machine
        for table in tables
        if table.machine in wanted and not is_part(table, role, wanted[table.machine], challenge.per_cell)
    ]
    if others:
        why.append(f"the {part} clips of {', '.join(others)} are not DCASE {year}'s")
    return why


def is_part(table: ClipTable, role: Role, sections: tuple[int, ...], per_cell: int | None) -> bool:
    """Whether a role's clips are labelled ones of these sections, so many of each domain and label each."""
    clips = table.role == role
    if {*table.section[clips].tolist()} != {*sections} or (table.label[clips] == UNKNOWN).any():
        return False
    if per_cell is None:
        return True
    counts = [
        int((clips & (table.section == s) & (table.domain == d) & (table.label == y)).sum())
        for s in sections
        for d in (SOURCE, TARGET)
        for y in (NORMAL, ANOMALY)
    ]
    return {*counts} == {per_cell} and int(clips.sum()) == sum(counts)


def _settings(recipe: Recipe) -> str:
    """All settings but the seed."""
    return recipe.model_copy(update={"seed": 0}).model_dump_json()


def _settings_of(config: Mapping[str, Any]) -> str:
    try:
        return _settings(recipe_of(config))
    except ValidationError:  # of a family that isn't installed here
        return ""


def to_dict(line: Line) -> dict[str, Any]:
    """A line for a program, figures in percent."""
    return {
        "system": line.system,
        "published": line.result.what,
        "year": line.result.year,
        "measure": line.result.measure,
    } | {
        key: value
        for part, average in line.ours.items()
        for key, value in {
            f"{part}_ours": in_percent(average.mean if average else None),
            f"{part}_ours_sd": in_percent(average.spread if average else None),
            f"{part}_published": line.published[part],
        }.items()
    }


COLUMNS = ("system", "", "ours, dev", "published, dev", "ours, eval", "published, eval", "what was published")
LEGEND = (
    "In percent. Ours: of each machine the best point and score type by mean Ω on its labelled dev clips, "
    "over all machines; mean ± standard deviation over the seeds. On dev, that choice makes it too high.",
    "A published figure stands beside ours only where recordings, machines and settings are as published or, "
    "where the publication is silent, as the system's space says.",
)


def _cells(line: Line) -> list[str]:
    figures = []
    for part, average in line.ours.items():
        value = line.published[part]
        figures += [str(average) if average else MISSING, MISSING if value is None else f"{value:g}"]
    return [line.system, line.result.measure, *figures, line.result.what]


def _markdown(search: str, lines: Sequence[Line], notes: Sequence[str]) -> str:
    text = [f"# Published systems in {escaped(search)}", "", *(f"- {line}" for line in LEGEND), ""]
    text.append(to_markdown(COLUMNS, [_cells(line) for line in lines], left=2))
    if notes:
        text += ["", "## Notes", "", *(f"- {escaped(note)}" for note in notes)]
    return "\n".join(text) + "\n"


def to_terminal(lines: Sequence[Line]) -> Table:
    """The lines for a screen."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in COLUMNS[:-1]:
        table.add_column(name, justify="left" if name in COLUMNS[:2] else "right", overflow="fold")
    for line in lines:
        table.add_row(*_cells(line)[:-1])
    return table
