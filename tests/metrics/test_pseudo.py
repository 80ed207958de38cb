"""Pseudo-Ω against scikit-learn, kind by kind and section by section."""

import numpy as np
import pytest
from scipy.stats import hmean
from sklearn.metrics import roc_auc_score

from humtune.errors import HumtuneError
from humtune.metrics.omega import PseudoCells
from humtune.sounds.probes import ProbeKind
from humtune.sounds.table import ANOMALY, NORMAL, UNKNOWN, ClipTable, Role


def make_table(*, held_out: int = 12, probes: int = 20, sections: tuple[int, ...] = (0, 1)) -> ClipTable:
    rows = [("dev", s, NORMAL, Role.HELD_OUT) for s in sections for _ in range(held_out)]
    rows += [("dev", s, UNKNOWN, Role.REPORT) for s in sections for _ in range(3)]
    for kind in (ProbeKind.FAULT, ProbeKind.MACHINE):
        rows += [(kind, s, ANOMALY, Role.PROBE) for s in sections for _ in range(probes)]
    rows += [
        (ProbeKind.SECTION, s, y, Role.PROBE) for s in sections for y in (NORMAL, ANOMALY) for _ in range(5)
    ]
    part, section, label, role = zip(*rows, strict=True)
    count = len(rows)
    return ClipTable.from_columns(
        machine="fan",
        name=[f"{i}.wav" for i in range(count)],
        part=[str(p) for p in part],
        split=["test"] * count,
        section=section,
        domain=[0] * count,
        label=label,
        attributes=[""] * count,
        role=[str(r) for r in role],
    )


def by_hand(scores: np.ndarray, table: ClipTable) -> float:
    values = []
    for kind in ProbeKind:
        for section in np.unique(table.section):
            here = (table.section == section) & (table.part == str(kind)) & (table.role == str(Role.PROBE))
            held_out = (table.section == section) & (table.role == str(Role.HELD_OUT))
            normal = here & (table.label == NORMAL) if kind == ProbeKind.SECTION else held_out
            used = (here & (table.label == ANOMALY)) | normal
            for p in (None, 0.1):
                values.append(roc_auc_score(~normal[used], scores[used], max_fpr=p))
    return float(hmean(values))


def test_it_is_the_harmonic_mean_over_kinds_and_sections() -> None:
    table = make_table()
    rng = np.random.default_rng(0)
    for _ in range(5):
        scores = np.round(rng.normal(size=len(table)) + 0.7 * (table.label == ANOMALY), 1)  # with ties
        assert PseudoCells(table).omega(scores) == pytest.approx(by_hand(scores, table), abs=1e-12)


def test_many_candidates_are_measured_at_once() -> None:
    table = make_table()
    scores = np.random.default_rng(1).normal(size=(7, len(table)))
    cells = PseudoCells(table)
    assert cells.omega(scores) == pytest.approx([float(cells.omega(vector)) for vector in scores])


def test_clips_that_are_neither_held_out_nor_probes_count_for_nothing() -> None:
    table = make_table()
    scores = np.random.default_rng(2).normal(size=len(table))
    before = PseudoCells(table).omega(scores)
    scores[table.role == str(Role.REPORT)] = 1e9
    assert PseudoCells(table).omega(scores) == before


def test_a_kind_that_is_missing_is_left_out() -> None:
    table = make_table()
    few = table.take(table.part != str(ProbeKind.SECTION))
    assert list(PseudoCells(few).kinds) == [ProbeKind.FAULT, ProbeKind.MACHINE]
    none = table.take(table.role != str(Role.PROBE))
    assert PseudoCells(none).kinds == {}


def test_a_section_whose_clips_are_all_trained_on_is_left_out() -> None:
    table = make_table()
    gone = (table.section == 1) & (table.role == str(Role.HELD_OUT))
    cells = PseudoCells(table.take(~gone)).kinds
    assert [c.section for c in cells[ProbeKind.FAULT].cells] == [0]
    assert [c.section for c in cells[ProbeKind.SECTION].cells] == [0, 1]


def test_a_score_that_is_no_number_is_named() -> None:
    table = make_table()
    scores = np.zeros(len(table))
    scores[3] = np.nan
    with pytest.raises(HumtuneError, match=r"3\.wav is nan"):
        PseudoCells(table).omega(scores)
