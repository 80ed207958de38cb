"""The table of a search's points: for a file, for a program, for a screen."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table

from humtune.formatting.text import MISSING, escaped, in_percent, to_csv, to_markdown
from humtune.ledger import Ledger
from humtune.records import ParamValue
from humtune.results.candidates import searched_trials
from humtune.results.points import Clips, Point, common_points, measure_points
from humtune.results.reading import Average
from humtune.results.rows import ALL

SHORT = 5  # points that a screen shows

_CLIPS: dict[str, Clips] = {"select": "dev", "eval": "eval"}  # by the table's columns
_HEADLINE = "Ω official, selecting clips"
_VIEWS: dict[str, Callable[[Point, str], Average | None]] = {
    _HEADLINE: lambda p, s: p.omega(s),
    "Ω paper, selecting clips": lambda p, s: p.omega(s, kind="paper"),
    "Ω official, eval clips": lambda p, s: p.omega(s, clips="eval"),
    "pseudo-Ω, probes (no labels)": lambda p, s: p.pseudo(s),
}


def wants_points(ledger: Ledger) -> bool:
    """Whether a search tries points on purpose: a grid, a list, or one point with several seeds."""
    if ledger.plan.asked.space.get("sampler") in ("grid", "listed"):
        return True
    seen: set[Any] = set()
    for record in searched_trials(ledger.records()):
        point = (record.machine, *sorted(record.params.items()))
        if point in seen:
            return True
        seen.add(point)
    return False


def write_points(ledger: Ledger) -> tuple[list[Point], tuple[str, ...]]:
    """Measure every point; write points.md and points.csv to <search>/report/; return their names there.

    With two or more machines, each point that all of them have follows once more, over all of them.
    """
    points, notes = measure_points(ledger)
    points += common_points(points)
    folder = ledger.layout.report
    ledger.storage.write(f"{folder}/points.md", points_markdown(ledger.name, points, notes).encode())
    ledger.storage.write(f"{folder}/points.csv", to_csv(csv_rows(points)))
    return points, ("points.md", "points.csv")


def csv_rows(points: Sequence[Point]) -> list[dict[str, Any]]:
    """A row a machine, point and score type, figures in percent."""
    rows = []
    varied = varying(points)
    for point in points:
        params = {short: _chosen(point, name) for name, short in varied.items()}
        fitted = _columns("omega_cross_fitted_over_scores", point.cross_fitted)
        for score in _scores([point]):
            row: dict[str, Any] = {"machine": point.machine, **params, "score": score}
            row["seeds"] = len(point.seeds)
            for where, clips in _CLIPS.items():
                row |= _columns(f"omega_{where}_official", point.omega(score, clips=clips))
                row |= _columns(f"omega_{where}_paper", point.omega(score, kind="paper", clips=clips))
            rows.append(row | fitted | _columns("omega_pseudo", point.pseudo(score)))
    return rows


def points_markdown(search: str, points: Sequence[Point], notes: Sequence[str]) -> str:
    """Points as rows, score types as columns, each machine's highest in bold; a table a figure."""
    scores = _scores(points)
    varied = varying(points)
    lines = [f"# Points of {escaped(search)}", "", *(f"- {line}" for line in LEGEND)]
    for title, read in _VIEWS.items():
        values = [{s: read(p, s) for s in scores} for p in points]
        if not any(average for row in values for average in row.values()):
            continue
        fitted = title == _HEADLINE
        best = _highest(points, values)
        rows = [
            [
                escaped(point.machine),
                *(escaped(_show(_chosen(point, name))) for name in varied),
                str(len(point.seeds)),
                *(_cell(row[s], bold=row[s] is not None and row[s] is best[point.machine]) for s in scores),
                *([_cell(point.cross_fitted)] if fitted else []),
            ]
            for point, row in zip(points, values, strict=True)
        ]
        columns = [
            "machine",
            *map(escaped, varied.values()),
            "seeds",
            *scores,
            *(["Ω cross-fitted"] if fitted else []),
        ]
        lines += ["", f"## {title}", "", to_markdown(columns, rows, left=1 + len(varied))]
    if notes:
        lines += ["", "## Notes", "", *(f"- {escaped(note)}" for note in notes)]
    return "\n".join(lines) + "\n"


def to_terminal(points: Sequence[Point]) -> Table:
    """The highest points for a screen: over all machines, or of each machine where they share none."""
    overall = [p for p in points if p.machine == ALL]
    machines = [ALL] if overall else list(dict.fromkeys(p.machine for p in points))
    varied = varying(points)
    room = max(1, SHORT // len(machines))
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in ("point", "score"):
        table.add_column(name, overflow="fold")
    for name in ("seeds", "Ω select", "Ω cross-fitted"):
        table.add_column(name, justify="right", no_wrap=True)
    for machine in machines:
        mine = [p for p in points if p.machine == machine and p.best()]
        for point in sorted(mine, key=_height, reverse=True)[:room]:
            score = point.best() or ""
            values = ", ".join(f"{short}={_show(_chosen(point, n))}" for n, short in varied.items())
            table.add_row(
                f"{machine}: {values}" if values else machine,
                score,
                str(len(point.seeds)),
                str(point.omega(score)),
                _cell(point.cross_fitted),
            )
    return table


def varying(points: Sequence[Point]) -> dict[str, str]:
    """What differs between points, network or parameters: dotted names, and short ones that tell apart."""
    names = dict.fromkeys(("network", *(name for p in points for name in p.params)))
    differing = [n for n in names if len({repr(_chosen(p, n)) for p in points}) > 1]
    last = [n.rpartition(".")[2] for n in differing]
    return {n: short if last.count(short) == 1 else n for n, short in zip(differing, last, strict=True)}


def _chosen(point: Point, name: str) -> ParamValue:
    return {"network": point.network, **point.params}.get(name)


LEGEND = (
    "A point is one configuration of a machine; its trials differ in nothing but the seed. "
    "Mean ± standard deviation (n − 1) over the seeds, in percent; a lone figure is a single seed's.",
    "Bold: the highest of a machine. It was chosen on the clips that it is read on, which makes it too high.",
    "Ω cross-fitted: per seed, the score type is chosen on half of the selecting clips and official Ω is "
    "read on the other half. The choice of the point is not in it; table.md has that.",
    "network: a machine's own, the shared one of all machines, or own from that shared trial's on.",
    "all: the n-th seed of every machine together, harmonic mean over all values of all sections.",
)


def _highest(
    points: Sequence[Point], values: Sequence[Mapping[str, Average | None]]
) -> dict[str, Average | None]:
    best: dict[str, Average | None] = {}
    for point, row in zip(points, values, strict=True):
        found = [a for a in (best.get(point.machine), *row.values()) if a]
        best[point.machine] = max(found, key=lambda a: a.mean, default=None)
    return best


def _scores(points: Sequence[Point]) -> list[str]:
    """The score types of points: those with an Ω, those with a pseudo-Ω."""
    return list(dict.fromkeys(s for p in points for s in (*p.score_types, *p.seeds[0].pseudo)))


def _height(point: Point) -> float:
    average = point.omega(point.best() or "")
    return average.mean if average else 0.0


def _columns(name: str, average: Average | None) -> dict[str, float | None]:
    return {
        name: in_percent(average.mean if average else None),
        f"{name}_sd": in_percent(average.spread if average else None),
    }


def _cell(average: Average | None, *, bold: bool = False) -> str:
    if average is None:
        return MISSING
    return f"**{average}**" if bold else str(average)


def _show(value: ParamValue) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return MISSING if value is None else str(value)
