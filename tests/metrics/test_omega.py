"""AUC, pAUC and Ω against scikit-learn; precision, recall and F1 of decisions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import hmean
from sklearn.metrics import precision_recall_fscore_support, roc_auc_score

from humtune.dcase.truth import label_clips
from humtune.errors import HumtuneError, UsageError
from humtune.metrics.cells import Cells
from humtune.metrics.omega import (
    DecisionMetrics,
    auc,
    evaluate,
    evaluate_decisions,
    harmonic_mean,
    omega,
    pauc,
    pool,
)
from humtune.sounds.table import ANOMALY, NORMAL, SOURCE, TARGET, UNKNOWN, ClipTable, Role

CELLS = [(s, d, y) for s in (0, 1) for d in (SOURCE, TARGET) for y in (NORMAL, ANOMALY)]


def table(cells=CELLS, *, clips=7, machine="fan", role=Role.SELECT):
    rows = [cell for cell in cells for _ in range(clips)]
    return ClipTable.from_columns(
        machine=machine,
        name=[f"clip_{i:03d}.wav" for i in range(len(rows))],
        part=["dev"] * len(rows),
        split=["test"] * len(rows),
        section=[s for s, _, _ in rows],
        domain=[d for _, d, _ in rows],
        label=[y for _, _, y in rows],
        attributes=[""] * len(rows),
        role=[str(role)] * len(rows),
    )


def sklearn_values(scores, t, *, paper):
    """Every value of Ω, the long way."""
    values = []
    for section in np.unique(t.section):
        here = t.section == section
        for domain in np.unique(t.domain):
            cell = here & ((t.label == ANOMALY) | (t.domain == domain))
            values.append(roc_auc_score(t.label[cell], scores[cell]))
            if paper:
                values.append(roc_auc_score(t.label[cell], scores[cell], max_fpr=0.1))
        if not paper:
            values.append(roc_auc_score(t.label[here], scores[here], max_fpr=0.1))
    return values


# Few distinct values make ties within and between the classes the rule.
tied = st.lists(st.integers(-2, 2).map(float) | st.floats(-3, 3), min_size=1, max_size=40)


@given(positive=tied, negative=tied)
def test_auc_is_scikit_learns(positive, negative):
    labels = [1] * len(positive) + [0] * len(negative)
    assert auc(positive, negative) == pytest.approx(roc_auc_score(labels, positive + negative), abs=1e-12)


@given(positive=tied, negative=tied, max_fpr=st.floats(0.01, 1) | st.sampled_from([0.1, 0.2, 0.5, 1]))
def test_pauc_is_scikit_learns(positive, negative, max_fpr):
    labels = [1] * len(positive) + [0] * len(negative)
    expected = roc_auc_score(labels, positive + negative, max_fpr=max_fpr)
    assert pauc(positive, negative, max_fpr=max_fpr) == pytest.approx(expected, abs=1e-12)


def test_leading_axes_are_kept():
    rng = np.random.default_rng(0)
    positive, negative = rng.integers(0, 9, (2, 3, 11)), rng.integers(0, 9, (2, 3, 23))
    for measure in (auc, pauc):
        got = measure(positive, negative)
        assert got.shape == (2, 3)
        one_by_one = [[measure(positive[i, j], negative[i, j]) for j in range(3)] for i in range(2)]
        np.testing.assert_array_equal(got, one_by_one)


def test_harmonic_mean_floors_zeros_as_the_official_evaluator_does():
    assert harmonic_mean([0.5, 1.0]) == pytest.approx(2 / 3)
    values = np.array([[0.0, 0.9], [0.7, 0.8]])
    expected = hmean(np.maximum(values, np.finfo(float).eps), axis=0)
    np.testing.assert_allclose(harmonic_mean(values, axis=0), expected, rtol=1e-12)


@pytest.mark.parametrize("kind", ["official", "paper"])
def test_omega_is_the_harmonic_mean_of_scikit_learns_values(kind):
    t = table()
    scores = np.random.default_rng(1).integers(0, 12, (5, len(t))).astype(float)
    got = omega(scores, Cells.of(t), kind=kind)
    values = [sklearn_values(row, t, paper=kind == "paper") for row in scores]
    assert len(values[0]) == (8 if kind == "paper" else 6)
    np.testing.assert_allclose(got, hmean(values, axis=1), rtol=1e-12)


def test_evaluate_gives_the_same_means_and_each_sections_values():
    t = table()
    scores = np.random.default_rng(2).normal(size=len(t))
    metrics = evaluate(scores, Cells.of(t))
    values = sklearn_values(scores, t, paper=False)
    assert [s.section for s in metrics.sections] == [0, 1]
    per_section = [[s.auc[SOURCE], s.auc[TARGET], s.pauc] for s in metrics.sections]
    np.testing.assert_allclose(np.ravel(per_section), values, rtol=1e-12)
    assert float(metrics.auc_source) == pytest.approx(hmean(values[0::3]))
    assert float(metrics.auc_target) == pytest.approx(hmean(values[1::3]))
    assert float(metrics.pauc) == pytest.approx(hmean(values[2::3]))


def test_machines_are_pooled_value_by_value():
    tables = [table(machine="fan"), table(CELLS[:4], machine="valve", clips=9)]
    scores = [np.random.default_rng(i).normal(size=len(t)) for i, t in enumerate(tables)]
    pooled = pool(evaluate(s, Cells.of(t)) for s, t in zip(scores, tables, strict=True))
    values = [v for s, t in zip(scores, tables, strict=True) for v in sklearn_values(s, t, paper=False)]
    assert float(pooled.omega_official) == pytest.approx(hmean(values))


def test_one_missed_cell_ruins_omega():
    t = table()
    scores = (t.label == ANOMALY).astype(float)
    scores[(t.section == 0) & (t.domain == TARGET) & (t.label == NORMAL)] = 2  # AUC target is 0 there
    assert omega(scores, Cells.of(t)) < 1e-14


def test_without_domains_all_clips_of_a_section_are_one_cell():
    t = table([(s, UNKNOWN, y) for s in (0, 2) for y in (NORMAL, ANOMALY)])
    scores = np.random.default_rng(3).normal(size=len(t))
    metrics = evaluate(scores, Cells.of(t))
    values = sklearn_values(scores, t, paper=False)
    assert float(metrics.omega_official) == pytest.approx(hmean(values))
    assert float(metrics.omega_paper) == pytest.approx(hmean(values))
    assert float(metrics.auc_source) == pytest.approx(hmean(values[0::2]))
    assert np.isnan(metrics.auc_target)


def test_roles_and_unlabelled_clips_are_told_apart():
    labelled, unlabelled = table(), table([(5, UNKNOWN, UNKNOWN)], role=Role.REPORT)
    columns = {
        k: [*getattr(unlabelled, k).tolist(), *getattr(labelled, k).tolist()]
        for k in ("name", "part", "split", "section", "domain", "label", "attributes", "role")
    }
    both = ClipTable.from_columns(machine="fan", **columns)
    scores = np.random.default_rng(4).normal(size=len(both))
    scores[:7] = np.nan  # nobody looks at clips without a label
    expected = omega(scores[7:], Cells.of(labelled))
    assert omega(scores, Cells.of(both)) == expected
    assert omega(scores, Cells.of(both, Role.SELECT)) == expected
    with pytest.raises(UsageError, match="fan has no labelled test clips"):
        Cells.of(both, Role.REPORT)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ((1, TARGET, NORMAL), "fan section 01 target has no normal clips; Ω needs both"),
        ((0, SOURCE, ANOMALY), "fan section 00 source has no anomalous clips; Ω needs both"),
    ],
)
def test_a_cell_without_both_labels_is_named(missing, message):
    with pytest.raises(UsageError, match=message):
        Cells.of(table([c for c in CELLS if c != missing]))


def test_a_clip_without_domain_among_others_is_named():
    t = table([*CELLS, (1, UNKNOWN, NORMAL)])
    with pytest.raises(UsageError, match=r"fan: clip_056\.wav names no domain, while other clips do"):
        Cells.of(t)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_first_clip_without_a_finite_score_is_named(value):
    scores = np.zeros((3, 56))
    scores[1, [9, 40]] = value
    with pytest.raises(
        HumtuneError, match=rf"fan: the score of clip_009\.wav is {value}, not a finite number"
    ):
        omega(scores, Cells.of(table()))


def test_a_vector_of_the_wrong_length_is_refused():
    with pytest.raises(HumtuneError, match="fan: 55 scores for 56 clips"):
        evaluate(np.zeros(55), Cells.of(table()))


def test_without_an_alarm_everything_is_zero_and_a_mean_stays_finite():
    none = DecisionMetrics.count([0, 0], [0, 0, 0])
    assert (none.precision, none.recall, none.f1) == (0, 0, 0)
    mean = DecisionMetrics.mean([none, DecisionMetrics.count([0], [1])])
    assert 0 < mean.f1 < 1e-15


def test_figures_are_those_of_each_sections_and_domains_own_clips(team):
    names, label, target, scores = team.score()
    decisions = scores > 0.5
    found = evaluate_decisions(decisions, Cells.of(label_clips("fan", names)))
    assert [(d.section, d.domain) for d in found] == [(0, 0), (0, 1)]
    for cell, domain in zip(found, (~target, target), strict=True):
        expected = precision_recall_fscore_support(label[domain], decisions[domain], average="binary")[:3]
        got = (cell.metrics.precision, cell.metrics.recall, cell.metrics.f1)
        assert got == pytest.approx(expected)
        assert 0 < got[2] < 1


def test_sections_without_decisions_are_left_out(team):
    names = team.score()[0] + team.score(section=1)[0]
    decisions = np.where(np.char.startswith(names, "section_00"), 1.0, np.nan)
    found = evaluate_decisions(decisions, Cells.of(label_clips("fan", names)))
    assert {d.section for d in found} == {0}
