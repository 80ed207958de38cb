"""Evaluate a folder of score files, anyone's: every figure of the challenge, and the paper's Ω."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from humtune.dcase.files import domain_in_name, file_name, find_files, read_folder
from humtune.dcase.truth import Truth, find_unscored, label_clips
from humtune.errors import UsageError
from humtune.metrics.cells import Array, Cells
from humtune.metrics.omega import (
    CellDecisions,
    DecisionMetrics,
    Metrics,
    SectionMetrics,
    evaluate,
    evaluate_decisions,
    pool,
)
from humtune.names import join_names, twin, word
from humtune.sounds.clip import Part, clip_key
from humtune.sounds.table import SOURCE, TARGET, UNKNOWN, ClipTable, Role

if TYPE_CHECKING:
    from pandas import DataFrame

PARTS: dict[Part, Role] = {"dev": Role.SELECT, "eval": Role.REPORT}

_SUFFIXES = {SOURCE: "_source", TARGET: "_target", UNKNOWN: ""}
_OMEGAS = ("omega_official", "omega_paper", "auc_source", "auc_target", "pauc")


@dataclass(frozen=True, eq=False)
class PartFigures:
    """One machine's figures on the labelled clips of one part."""

    machine: str
    part: Part
    metrics: Metrics
    decisions: tuple[CellDecisions, ...]  # of the sections with decision files


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The figures of a folder of score files."""

    results: tuple[PartFigures, ...]  # by machine, dev before eval
    notes: tuple[str, ...]  # what was left out, and why

    @property
    def machines(self) -> tuple[str, ...]:
        """The machines that were evaluated, sorted."""
        return tuple(dict.fromkeys(r.machine for r in self.results))

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts that were evaluated."""
        return tuple(part for part in PARTS if any(r.part == part for r in self.results))

    def having(self, *, machine: str | None = None, part: Part | None = None) -> list[PartFigures]:
        """The results of one machine, of one part, or of both."""
        return [r for r in self.results if machine in (None, r.machine) and part in (None, r.part)]

    def to_percent(self) -> dict[str, Any]:
        """All figures by plain names, in percent: over all, by part, and per machine with its sections."""
        return {
            **in_percent(self.results),
            "parts": {part: in_percent(self.having(part=part)) for part in self.parts},
            "machines": {machine: self._machine(machine) for machine in self.machines},
            "notes": list(self.notes),
        }

    def to_frame(self) -> "DataFrame":
        """The same as fractions 0…1: a row a section, then each machine's and all machines' means."""
        from pandas import DataFrame

        said = self.to_percent()
        rows = [
            {"machine": m, **section} for m, mine in said["machines"].items() for section in mine["sections"]
        ]
        means = {**said["machines"], **({"all": said} if len(self.machines) > 1 else {})}
        rows += [
            {"machine": name, "part": part, "section": "all", **values}
            for name, own in means.items()
            for part, values in own["parts"].items()
        ]
        known = ("machine", "part", "section")
        frame = DataFrame(rows)
        frame = frame[[*known, *(name for name in frame if name not in known)]]
        figures = frame.columns[len(known) :]
        frame[figures] = frame[figures].astype(float) / 100
        return frame

    def _repr_html_(self) -> str:
        return str(self.to_frame().to_html(index=False, na_rep="", float_format="{:.3f}".format))

    def _machine(self, machine: str) -> dict[str, Any]:
        mine = self.having(machine=machine)
        sections = [
            {"section": s.section, "part": r.part, **section_in_percent(s, r.decisions)}
            for r in mine
            for s in r.metrics.sections
        ]
        parts = {r.part: in_percent([r]) for r in mine}
        return {**in_percent(mine), "parts": parts, "sections": sections}


def evaluate_folder(
    folder: Path, *, truth: Path | None = None, machines: Sequence[str] | None = None
) -> Evaluation:
    """Evaluate the score files of a folder, and its decision files where it has some.

    Labels come from the clips' names or from `truth`, a folder that `Truth.open` reads; with it, every
    labelled clip of a scored part has to be scored. Sections that nobody tells the labels of are left out,
    with a note. UsageError for a score that is missing, doubled or not finite.
    """
    scores = read_folder(folder)
    decisions = read_folder(folder, "decision_result") if find_files(folder, "decision_result") else {}
    chosen = _choose(folder, tuple(scores), machines)
    known = Truth.open(truth) if truth else None
    tables = {machine: label_clips(machine, scores[machine], truth=known) for machine in chosen}
    if known:
        _check_complete(folder, known, tables, machines=machines or known.machines)
    results, notes = [], []
    for machine, table in tables.items():
        values = np.array(list(scores[machine].values()))
        decided = _align_decisions(folder, table, decisions.get(machine, {}))
        for part, role in PARTS.items():
            if (table.label[table.part == part] != UNKNOWN).any():
                cells = Cells.of(table, role)
                judged = evaluate_decisions(decided, cells)
                results.append(PartFigures(machine, part, evaluate(values, cells), judged))
        notes += _left_out(table, decided if decisions else None)
    return Evaluation(tuple(results), tuple(notes))


def in_percent(results: Sequence[PartFigures]) -> dict[str, float | None]:
    """Figures over all sections of some results in percent; None where no clip is of that domain."""
    pooled = pool(r.metrics for r in results)
    found = {name: _percent(float(getattr(pooled, name))) for name in _OMEGAS}
    if judged := [d.metrics for r in results for d in r.decisions]:
        found |= {name: _percent(value) for name, value in vars(DecisionMetrics.mean(judged)).items()}
    return found


def section_in_percent(
    section: SectionMetrics, decisions: Iterable[CellDecisions]
) -> dict[str, float | None]:
    """One section's figures in percent: auc_source, auc_target, pauc, pauc_source, …, f1_target.

    Where the data set names no domains, the names have no suffix.
    """
    found = {f"auc{_SUFFIXES[domain]}": float(value) for domain, value in section.auc.items()}
    found["pauc"] = float(section.pauc)
    found |= {f"pauc{_SUFFIXES[domain]}": float(value) for domain, value in section.domain_pauc.items()}
    for cell in decisions:
        if cell.section == section.section:
            found |= {f"{name}{_SUFFIXES[cell.domain]}": value for name, value in vars(cell.metrics).items()}
    return {name: _percent(value) for name, value in found.items()}


def _percent(value: float) -> float | None:
    return 100 * value if value == value else None


def _choose(folder: Path, known: Sequence[str], machines: Sequence[str] | None) -> Sequence[str]:
    wanted = {twin(machine, known) for machine in machines or ()}
    for machine in sorted(wanted):
        if machine not in known:
            raise UsageError(f"{folder}: no scores of machine '{machine}'; there are {', '.join(known)}")
    return sorted(wanted) or known


def _check_complete(
    folder: Path, truth: Truth, tables: Mapping[str, ClipTable], *, machines: Iterable[str]
) -> None:
    missing = find_unscored(truth, tables, machines=machines)
    if not missing:
        return
    first = missing[0]
    more = f" ({len(missing) - 1} more like it)" if len(missing) > 1 else ""
    if first.machine not in tables:
        mend = f"--machines {word(join_names(tables))} evaluates the others alone"
    else:
        domain = domain_in_name(first.path.name)
        mend = f"add its line to {file_name('anomaly_score', first.machine, first.section, domain)}"
    raise UsageError(
        f"{folder}: {first.machine}: {first.path.stem} stands in the truth below {truth.path}, "
        f"but has no score{more}; {mend}"
    )


def _align_decisions(folder: Path, table: ClipTable, decisions: Mapping[str, float]) -> Array:
    """Decisions [N] as the table has its clips, NaN in sections without any; UsageError for a gap."""
    by_key = {clip_key(name): (name, value) for name, value in decisions.items()}
    keys = [clip_key(name) for name in table.name]
    if extra := sorted(by_key.keys() - set(keys)):
        name = by_key[extra[0]][0]
        raise UsageError(
            f"{folder}: {table.machine}: {name} has a decision, but no score; add one, or drop it"
        )
    found = np.array([by_key[key][1] if key in by_key else np.nan for key in keys])
    for section in np.unique(table.section):
        here = table.section == section
        without = np.isnan(found) & here
        if without.any() and not np.isnan(found[here]).all():
            name = str(table.name[without][0])
            file = file_name("decision_result", table.machine, int(section), domain_in_name(name))
            raise UsageError(
                f"{folder}: {table.machine}: {name} has a score, but no decision; add it to {file}"
            )
    return found


def _left_out(table: ClipTable, decided: Array | None) -> list[str]:
    """A sentence for the sections without labels, and one for those without decisions where others have."""
    notes = []
    unlabelled = table.label == UNKNOWN
    if unlabelled.any():
        notes.append(
            f"{table.machine}: {_sections(table.section[unlabelled])} left out, without labels (--truth)"
        )
    if decided is not None and (undecided := np.isnan(decided) & ~unlabelled).any():
        notes.append(f"{table.machine}: {_sections(table.section[undecided])} without decisions")
    return notes


def _sections(sections: Iterable[int]) -> str:
    numbers = [f"{number:02d}" for number, _ in groupby(sorted(sections))]
    return f"section{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}"
