"""Whether choosing without labels would have chosen well: by hand, and on the page."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from humtune.evaluation.cells import Cells
from humtune.evaluation.metrics import PseudoCells, omega
from humtune.report.agreement import agreement, agreement_block
from humtune.report.write import write_report
from humtune.results.measure import measure
from humtune.sounds.probes import ProbeKind
from humtune.sounds.table import ANOMALY, NORMAL, UNKNOWN, ClipTable, Role


def with_probes(clips: ClipTable, *, labelled: bool = True) -> ClipTable:
    """The clips and forty probes of two kinds; the second kind is told apart by every score alike."""
    few = clips.take(np.resize(clips.having(Role.HELD_OUT), 40))
    kinds = np.repeat([str(ProbeKind.FAULT), str(ProbeKind.MACHINE)], 20)
    table = ClipTable.concatenate([clips, few.with_columns(part=kinds, label=ANOMALY, role=str(Role.PROBE))])
    if not labelled:
        table.label[table.role == str(Role.SELECT)] = UNKNOWN
    return table


@pytest.fixture
def ledger(bench, make_clips):
    """Five trials of growing skill, whose probes tell the same story as their anomalies."""
    ledger = bench.search(clips={"fan": with_probes(make_clips("fan"))})
    for number in range(5):
        record = bench.trial(ledger, "fan", number, skill=0.4 * number)
        table = ledger.clips("fan")
        vectors = {name: ledger.scores(record.id, name) for name in record.omega}
        for vector in vectors.values():
            vector[table.part == str(ProbeKind.MACHINE)] = 1e6
        ledger.write_scores(record.id, vectors)
        pseudo = {name: float(PseudoCells(table).omega(vector)) for name, vector in vectors.items()}
        ledger.write(record.model_copy(update={"pseudo": pseudo}))
    return ledger


def test_it_is_spearmans_correlation_over_trials_and_score_types(ledger) -> None:
    records, clips = list(ledger.records()), ledger.clips("fan")
    found = agreement(measure(ledger, "fan"))
    cells, told, true = Cells.of(clips, Role.SELECT), [], []
    for record in records:
        for name in record.omega:
            vector = ledger.scores(record.id, name)
            told.append(float(PseudoCells(clips).omega(vector)))
            true.append(float(omega(vector, cells)))
    assert found is not None
    assert found.candidates == 10
    assert found.rank_correlation == pytest.approx(spearmanr(told, true).statistic)
    assert found.rank_correlation > 0.5
    assert found.chosen == pytest.approx(true[int(np.argmax(told))])
    assert (found.mean, found.best) == (pytest.approx(np.mean(true)), pytest.approx(max(true)))
    assert found.by_kind["machine"] is None  # every candidate tells other machines apart


def test_the_report_has_it_in_a_table(ledger, bench) -> None:
    write_report(ledger)
    text = bench.storage.read("fans/report/table.md").decode()
    line = next(line for line in text.splitlines() if line.startswith("| fan | 10 | +0."))
    assert line.split("|")[5].strip() == "–"
    assert "## Choosing without labels" in text


def test_without_labels_or_probes_or_with_two_candidates_there_is_nothing_to_tell(
    ledger, bench, make_clips
) -> None:
    measured = measure(ledger, "fan")
    assert agreement(replace(measured, records=measured.records[:1])) is None
    assert agreement(replace(measured, records=())) is None
    measured.clips.label[measured.clips.role == str(Role.SELECT)] = UNKNOWN
    assert agreement(measured) is None
    bare = bench.search("bare", clips={"fan": make_clips("fan")})
    for number in range(3):
        bench.trial(bare, "fan", number)
    assert agreement(measure(bare, "fan")) is None
    assert agreement_block([]) == []


def test_a_search_without_labels_is_reported_by_its_pseudo_omega(bench, make_clips) -> None:
    clips = with_probes(make_clips("fan", report=False))
    labelled = bench.search("labelled", clips={"fan": clips})
    blind = bench.search("blind", clips={"fan": with_probes(make_clips("fan", report=False), labelled=False)})
    for number in range(3):
        record = bench.trial(labelled, "fan", number, skill=0.5 * number)
        vectors = {name: labelled.scores(record.id, name) for name in record.omega}
        blind.write_scores(record.id, vectors)
        pseudo = {"cosine": 0.9 - number / 10, "nll": 0.5}
        blind.write(record.model_copy(update={"omega": {}, "pseudo": pseudo, "judged_by": "pseudo"}))
    report = write_report(blind)
    (row,) = report.rows
    assert (row.choice.trial, row.choice.score, row.choice.judged_by, row.choice.pseudo) == (
        "fan-00000",
        "cosine",
        "pseudo",
        0.9,
    )
    assert (row.select.official.value, row.cross_fitted.value) == (None, None)
    assert row.note == "fan: chosen without labels, by pseudo-Ω"
    assert row.false_alarms is None
    assert "blind/report/fan-probes.png" in report.files
    assert bench.storage.read("blind/report/fan-probes.png").startswith(b"\x89PNG")


def test_labels_that_did_not_choose_are_still_read(bench, make_clips) -> None:
    ledger = bench.search(clips={"fan": with_probes(make_clips("fan"))})
    record = bench.trial(ledger, "fan", 0, skill=1.0)
    ledger.write(record.model_copy(update={"pseudo": {"cosine": 0.4, "nll": 0.6}, "judged_by": "pseudo"}))
    (row,) = write_report(ledger).rows
    assert (row.choice.score, row.select.official.value) == ("nll", pytest.approx(record.omega["nll"]))
    assert row.cross_fitted.value is None  # no label chose: there is nothing to correct
    normal = ledger.clips("fan").label == NORMAL
    assert normal.any()
    assert row.false_alarms is not None
