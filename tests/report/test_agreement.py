"""Whether choosing without labels, or by a rung, would have chosen well: by hand, and on the page."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from humtune.detectors.classifier.recipe import Classifier
from humtune.metrics.cells import Cells
from humtune.metrics.omega import PseudoCells, omega
from humtune.records import Epoch, TrialRecord, TrialState
from humtune.report.agreement import Rung, agreement, agreement_block, rungs, rungs_block, rungs_line
from humtune.report.write import write_report
from humtune.results.measure import measure
from humtune.sounds.probes import ProbeKind
from humtune.sounds.table import ANOMALY, NORMAL, UNKNOWN, ClipTable, Role

CONFIG = Classifier.model_validate({"training": {"epochs": 4}})


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


def trial(
    number: int, metrics: Sequence[float | None], state: TrialState = TrialState.COMPLETE, **keys: object
) -> TrialRecord:
    """A trial whose Ω was such after each epoch, None where it wasn't measured."""
    epochs = tuple(
        Epoch(epoch=i, ended=1.0, seconds=1.0, metrics={} if f is None else {"omega": f, "pseudo": 1 - f})
        for i, f in enumerate(metrics, 1)
    )
    last = metrics[-1]
    judged = {} if last is None else {"omega": {"nll": last}, "pseudo": {"nll": 1 - last}}
    record = TrialRecord(
        id=f"fan-{number:05d}",
        machine="fan",
        number=number,
        origin="sampler",
        params={},
        config=CONFIG,
        state=state,
        started=0.0,
        epochs=epochs,
    )
    return record.model_copy(update=judged | keys)


def test_each_rung_is_compared_with_the_end() -> None:
    records = [
        trial(i, [None, at, early, end])
        for i, (at, early, end) in enumerate(
            [(1, 4, 0.1), (2, 3, 0.2), (3, 2, 0.3), (4, 1, 0.4), (4, 1, 0.4)]
        )
    ]
    assert rungs("fan", records) == [
        Rung("fan", 2, 4, 5, pytest.approx(1.0)),  # in the same order as the end
        Rung("fan", 3, 4, 5, pytest.approx(-1.0)),
    ]


def test_stopped_failed_and_confirming_trials_are_left_out() -> None:
    records = [trial(i, [None, f, None, f]) for i, f in enumerate((0.5, 0.6, 0.7, 0.8))]
    others = [
        trial(4, [None, 0.9], TrialState.PRUNED),
        trial(5, [None, 0.9, None], TrialState.FAILED),
        trial(6, [None, 0.9, None, 0.1], origin="confirm"),
    ]
    assert rungs("fan", [*records, *others]) == rungs("fan", records)
    assert rungs("fan", records)[0].trials == 4


def test_too_few_or_equal_trials_say_nothing() -> None:
    assert rungs("fan", [trial(i, [0.5 + i / 10, None, None, 0.5 + i / 10]) for i in range(3)]) == []
    assert rungs("fan", [trial(i, [0.5, None, None, 0.5 + i / 10]) for i in range(6)]) == []
    assert rungs("fan", [trial(i, [None, None, None, i / 10]) for i in range(6)]) == []
    assert rungs_block([]) == []
    assert rungs_line([]) is None


def test_pseudo_omega_is_compared_where_it_judges() -> None:
    records = [
        trial(i, [f, None, None, 1 - f], judged_by="pseudo") for i, f in enumerate((0.1, 0.2, 0.3, 0.4))
    ]
    assert [r.rank_correlation for r in rungs("fan", records)] == [pytest.approx(-1.0)]


def test_the_report_and_the_terminal_say_it() -> None:
    found = [Rung("fan", 2, 8, 20, 0.5), Rung("fan", 4, 8, 12, 0.7), Rung("valve", 2, 8, 20, 0.3)]
    text = "\n".join(rungs_block(found))
    assert "| fan | 2 of 8 | 20 | +0.50 |" in text
    assert rungs_line(found) == (
        "rank correlation with the end: +0.40 after epoch 2, +0.70 after epoch 4 (of 8)"
    )
