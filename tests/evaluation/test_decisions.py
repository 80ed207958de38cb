import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from humtune.evaluation.cells import Cells
from humtune.evaluation.decisions import DecisionFigures, evaluate_decisions
from humtune.evaluation.labels import label_clips


def test_without_an_alarm_everything_is_zero_and_a_mean_stays_finite():
    none = DecisionFigures.count([0, 0], [0, 0, 0])
    assert (none.precision, none.recall, none.f1) == (0, 0, 0)
    mean = DecisionFigures.mean([none, DecisionFigures.count([0], [1])])
    assert 0 < mean.f1 < 1e-15


def test_figures_are_those_of_each_sections_and_domains_own_clips(team):
    names, label, target, scores = team.score()
    decisions = scores > 0.5
    found = evaluate_decisions(decisions, Cells.of(label_clips("fan", names)))
    assert [(d.section, d.domain) for d in found] == [(0, 0), (0, 1)]
    for cell, domain in zip(found, (~target, target), strict=True):
        expected = precision_recall_fscore_support(label[domain], decisions[domain], average="binary")[:3]
        got = (cell.figures.precision, cell.figures.recall, cell.figures.f1)
        assert got == pytest.approx(expected)
        assert 0 < got[2] < 1


def test_sections_without_decisions_are_left_out(team):
    names = team.score()[0] + team.score(section=1)[0]
    decisions = np.where(np.char.startswith(names, "section_00"), 1.0, np.nan)
    found = evaluate_decisions(decisions, Cells.of(label_clips("fan", names)))
    assert {d.section for d in found} == {0}
