import numpy as np
import pytest

from humtune.metrics.bootstrap import resample
from humtune.metrics.cells import Cells
from humtune.metrics.omega import evaluate, pool
from humtune.results.measure import measure
from humtune.results.reading import Reading, labelled_clips
from humtune.sounds.table import NORMAL, UNKNOWN, Role


@pytest.fixture
def clips(make_clips):
    return make_clips("fan", hidden=4)


def test_no_clip_both_chooses_and_is_hidden(clips):
    found = labelled_clips(clips)
    choosing, hidden, reported = (
        {int(i) for cell in cells.cells for i in (*cell.normal, *cell.anomaly)}
        for cells in (found.choosing, found.hidden, found.reported)
    )
    assert (len(choosing), len(hidden)) == (48, 32)
    assert not choosing & hidden
    assert not (choosing | hidden) & reported
    assert found.notes == ()


def test_hidden_figures_are_of_the_hidden_clips_alone(clips):
    scores = np.random.default_rng(0).normal(size=len(clips)) + (clips.label == 1)
    reading = labelled_clips(clips).read(scores)
    hidden = Cells.of(clips, Role.HIDDEN)
    assert float(reading.hidden.omega_official) == float(evaluate(scores, hidden).omega_official)
    assert reading.hidden_draws.interval().low == resample(scores, hidden).interval().low
    others = scores.copy()
    others[clips.role != str(Role.HIDDEN)] = 0
    changed = labelled_clips(clips).read(others)
    assert float(changed.hidden.omega_official) == float(reading.hidden.omega_official)
    assert float(changed.select.omega_official) != float(reading.select.omega_official)


def test_the_interval_over_machines_is_of_all_their_values(clips):
    readings = [
        labelled_clips(clips).read(np.random.default_rng(i).normal(size=len(clips))) for i in range(2)
    ]
    whole = Reading.pooled(readings)
    expected = pool([r.hidden for r in readings]).omega_official
    assert float(whole.hidden.omega_official) == float(expected)
    assert float(whole.hidden_draws.estimate) == pytest.approx(float(expected))
    assert Reading.pooled([Reading(), Reading()]).select is None


def test_what_hidden_clips_say_changes_no_choice(bench, make_clips):
    chosen = []
    for name, flip in (("as-is", False), ("flipped", True)):
        clips = make_clips("fan", hidden=4)
        ledger = bench.search(name, clips={"fan": clips})
        for number, skill in enumerate((0.3, 1.5, 0.6)):
            record = bench.trial(ledger, "fan", number, skill=skill)
            if flip:
                for score in record.omega:
                    scores = ledger.scores(record.id, score)
                    scores[clips.having(Role.HIDDEN)] *= -1
                    ledger.write_scores(record.id, {score: scores})
        chosen.append(measure(ledger, "fan", noise=True))
    one, other = chosen
    assert one.best == other.best
    assert one.cross_fitted.mean == other.cross_fitted.mean
    assert (one.within_noise, one.threshold, one.false_alarms) == (
        other.within_noise,
        other.threshold,
        other.false_alarms,
    )
    assert float(one.reading.hidden.omega_official) != float(other.reading.hidden.omega_official)


def test_a_hidden_cell_without_anomalies_is_named(clips):
    gone = (clips.role == str(Role.HIDDEN)) & (clips.label != NORMAL) & (clips.section == 1)
    clips.label[gone] = UNKNOWN
    found = labelled_clips(clips)
    assert found.hidden is None
    assert found.notes == ("hidden clips: fan section 01 source has no anomalous clips; Ω needs both",)
