import numpy as np
import onnx
import pytest

from humtune.errors import HumtuneError, UsageError
from humtune.runtime.info import MODEL
from humtune.runtime.scorer import Scorer


def wave(loudness: float, samples: int = 8_000) -> np.ndarray:
    return np.full(samples, loudness, np.float32)


@pytest.mark.parametrize("content", [b"", b"no graph at all"])
def test_a_torn_graph_is_refused_by_name(model, content):
    (model / MODEL).write_bytes(content)
    with pytest.raises(UsageError, match=r"fan/model.onnx: onnxruntime can't load it \("):
        Scorer.open(model)


def test_a_graph_and_settings_of_different_trials_are_refused(model, tools):
    tools["write"](model, tools["info"](), tools["graph"](tools["info"](trial="fan-00004")))
    with pytest.raises(UsageError, match=r"not the model that its model.json describes"):
        Scorer.open(model)


@pytest.mark.parametrize(
    "waveform",
    [
        np.zeros(0, np.float32),
        np.zeros((2, 8_000), np.float32),
        np.zeros(8_000, np.int16),
        np.zeros(8_000, bool),
    ],
)
def test_what_is_no_waveform_is_refused(model, waveform):
    with pytest.raises(UsageError, match=r"a waveform is one channel of floats in \[-1, 1\], got"):
        Scorer.open(model).score(waveform)


def test_a_score_that_is_no_number_is_an_error(model, tools):
    tools["write"](model, tools["info"](), tools["graph"](tools["info"](), log=True))
    with pytest.raises(HumtuneError, match="the anomaly score became nan"):
        Scorer.open(model).score(wave(-0.5))


@pytest.mark.parametrize("threads", [0, 1, 2])
def test_scores_and_decides(model, threads):
    scorer = Scorer.open(model, threads=threads)
    assert scorer.score(wave(0.25)) == pytest.approx(0.25)
    assert scorer.score(wave(0.25).astype(np.float64)) == pytest.approx(0.25)
    threshold = scorer.info.threshold.value
    assert [scorer.decide(s, 16_000) for s in (0.05, threshold, 0.11)] == [False, False, True]


def test_a_short_recording_is_repeated_to_one_chunk(model, tools):
    scorer = Scorer.open(model)
    least = scorer.info.least_samples
    assert not scorer.is_short(least)
    assert scorer.is_short(least - 1)
    short = np.zeros(3_000, np.float32)
    short[:1_000] = 0.2  # repeated to 4000 samples, half of them are loud; padded, a quarter would be
    assert scorer.score(short) == pytest.approx(np.sqrt(0.5) * 0.2)


def test_all_of_a_recording_counts_however_long_it_is(tools):
    info = tools["info"](window=8_000)
    scorer = Scorer(info, tools["graph"](info))
    quiet, loud = wave(0.1, 8_000), wave(0.5, 8_000)
    for place in range(5):
        parts = [quiet] * 5
        parts[place] = loud
        assert scorer.score(np.concatenate(parts)) == pytest.approx(0.5)
    whole = np.concatenate([quiet, loud])
    assert scorer.score_window(whole) == pytest.approx(np.sqrt((0.1**2 + 0.5**2) / 2))
    assert scorer.score(whole[:8_000]) == scorer.score_window(whole[:8_000])


def test_the_same_from_bytes_and_from_a_file(model, tools):
    info = tools["info"]()
    assert Scorer(info, tools["graph"](info)).score(wave(0.3)) == Scorer.open(model).score(wave(0.3))
    with pytest.raises(UsageError, match="the model: onnxruntime can't load it"):
        Scorer(info, b"torn")


@pytest.mark.parametrize("described", [False, True])
def test_a_graph_from_elsewhere_is_refused(model, tools, described):
    """Also one that calls itself by our model's name, but takes and gives something else."""
    info = tools["info"]()
    graph = onnx.load_from_string(tools["graph"](info))
    if described:
        graph.graph.input[0].name = graph.graph.node[0].input[0] = graph.graph.node[0].input[1] = "image"
    else:
        del graph.metadata_props[:]
    tools["write"](model, info, graph.SerializeToString())
    with pytest.raises(UsageError, match=r"not the model that its model.json describes; export it again"):
        Scorer.open(model)


def test_what_the_graph_can_not_do_is_told(model, tools):
    info = tools["info"]()
    graph = onnx.load_from_string(tools["graph"](info))
    graph.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 5
    tools["write"](model, info, graph.SerializeToString())
    with pytest.raises(HumtuneError, match="onnxruntime can't score it") as caught:
        Scorer.open(model).score(wave(0.2))
    assert "\n" not in str(caught.value)
