import io

import matplotlib.image
import numpy as np
import pytest
from matplotlib.axes import Axes

from humtune.errors import HumtuneError, UsageError
from humtune.formatting.plots import roc_curves, score_histogram, search_history
from humtune.metrics.cells import Cells
from humtune.metrics.omega import evaluate
from humtune.records import TrialState
from humtune.sounds.table import ANOMALY, NORMAL, SOURCE, Role


@pytest.fixture
def drawn(monkeypatch):
    """What is drawn by the method's name: a list of (arguments, options)."""
    calls = {}

    def spied(name, true):
        def spy(self, *args, **options):
            calls.setdefault(name, []).append((args, options))
            return true(self, *args, **options)

        return spy

    for name in ("hist", "plot", "fill_between", "axvline", "scatter", "step", "text"):
        monkeypatch.setattr(Axes, name, spied(name, getattr(Axes, name)))
    return calls


def pixels(plot):
    png = plot.to_png()
    assert png.startswith(b"\x89PNG")
    return matplotlib.image.imread(io.BytesIO(png), format="png")


@pytest.fixture
def scored(make_clips):
    clips = make_clips("fan")
    return np.random.default_rng(0).normal(size=len(clips)) + (clips.label == ANOMALY), clips


def test_broken_scores_and_unlabelled_clips_are_refused(make_clips):
    clips = make_clips("fan", truth=False)
    for draw in (score_histogram, roc_curves):
        with pytest.raises(HumtuneError, match=r"fan_0030\.wav is nan"):
            draw(np.full(len(clips), np.nan), clips)
        with pytest.raises(UsageError, match="fan has no labelled test clips"):
            draw(np.zeros(len(clips)), clips, role=Role.REPORT)


def test_the_histogram_counts_every_selecting_clip_and_marks_the_threshold(scored, drawn):
    scores, clips = scored
    scores[clips.having(Role.SELECT)[0]] = 1e6  # far off: counted, but it does not squeeze the rest
    image = pixels(score_histogram(scores, clips, threshold=1.25, title="fan"))
    assert image.shape[1] == 840
    labelled = [(args, options["label"]) for args, options in drawn["hist"] if "label" in options]
    assert [label for _, label in labelled] == ["normal", "anomaly"] * 2
    for (values, edges), _ in labelled:
        assert np.histogram(values, edges)[0].sum() == 20
        assert edges[-1] < 10
    (values, _), _ = labelled[0]
    mine = (clips.role == Role.SELECT) & (clips.label == NORMAL) & (clips.domain == SOURCE)
    np.testing.assert_allclose(np.sort(values)[:-1], np.sort(scores[mine])[:-1])
    assert [args for args, _ in drawn["axvline"]] == [(1.25,)] * 2


def test_equal_scores_still_make_a_histogram(make_clips):
    clips = make_clips("fan")
    pixels(score_histogram(np.ones(len(clips)), clips, threshold=1.0))


def test_roc_legends_give_the_areas_of_the_sections(scored, drawn):
    scores, clips = scored
    pixels(roc_curves(scores, clips))
    sections = evaluate(scores, Cells.of(clips, Role.SELECT)).sections
    labels = [options["label"] for _, options in drawn["plot"] if "label" in options]
    source = 100 * np.mean([s.auc[0] for s in sections])
    target = 100 * np.mean([s.auc[1] for s in sections])
    assert labels[:2] == [f"source: AUC {source:.1f} %", f"target: AUC {target:.1f} %"]
    assert labels[2].startswith("all: AUC")
    (((rates, _), options),) = drawn["fill_between"]
    assert options["label"] == f"all: pAUC {100 * np.mean([s.pauc for s in sections]):.1f} %"
    assert rates.max() == pytest.approx(0.1)
    (x, y), _ = drawn["plot"][0]
    assert 100 * np.trapezoid(y, x) == pytest.approx(source, abs=0.3)


def test_without_domains_there_is_one_panel_and_one_curve(make_clips, drawn):
    clips = make_clips("fan", domains=False)
    scores = np.random.default_rng(0).normal(size=len(clips))
    pixels(score_histogram(scores, clips))
    pixels(roc_curves(scores, clips))
    assert len(drawn["hist"]) == 4
    assert [o["label"].split(":")[0] for _, o in drawn["plot"] if "label" in o] == ["all"]


def test_the_history_marks_states_and_follows_the_best(bench, drawn):
    ledger = bench.search()
    states = [TrialState.PRUNED, *[TrialState.COMPLETE] * 3, TrialState.FAILED, TrialState.RUNNING]
    for number, state in enumerate(states):
        bench.trial(ledger, "fan", number, state=state, skill=[0, 0.1, 2, 0.5, 0, 0][number])
    records = list(ledger.records("fan"))
    pixels(search_history(records, title="fan"))
    found = {o["label"]: (x.tolist(), y.tolist()) for (x, y), o in drawn["scatter"]}
    assert found["complete (3)"][0] == [2, 3, 4]
    assert found["complete (3)"][1] == pytest.approx([100 * r.objective for r in records[1:4]])
    assert found["pruned (1)"] == ([1], [pytest.approx(54)])  # the Ω of its last epoch
    assert found["failed (1)"][0] == [5]
    (((_, best), _),) = drawn["step"]
    best_of_all = 100 * records[2].objective
    assert best[2:] == pytest.approx([best_of_all] * 4)
    assert best[1] == pytest.approx(100 * records[1].objective)
    assert np.isnan(best[0])


def test_a_history_of_nothing_says_so(bench, drawn):
    pixels(search_history([]))
    assert any("no trial has ended yet" in args for args, _ in drawn["text"])
    ledger = bench.search()
    pixels(search_history([bench.trial(ledger, "fan", 0, state=TrialState.FAILED, epochs=0)]))
    assert "step" not in drawn
