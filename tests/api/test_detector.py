"""Detector: scikit-learn's conventions, over families as a search fits them."""

import numpy as np
import pytest
import soundfile
import soxr
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from humtune import Detector, UsageError

RATE = 16_000


def tones(count, hertz, *, seed=0, rate=RATE):
    """So many seconds of a tone in noise, each an array."""
    rng = np.random.default_rng(seed)
    time = np.arange(rate) / rate
    return [
        0.1 * np.sin(2 * np.pi * hertz * time + rng.uniform(0, 7)) + 0.02 * rng.normal(size=rate)
        for _ in range(count)
    ]


def test_it_learns_what_is_healthy_with_scikit_learns_signs():
    detector = Detector(settings={"components": 1}, held_out=0.5).fit(tones(20, 700))
    well, ill = tones(10, 700, seed=1), tones(10, 2_100, seed=2)
    assert detector.score_samples(well).min() > detector.score_samples(ill).max()
    assert (detector.predict(ill) == -1).all()
    assert (detector.predict(well) == 1).mean() >= 0.7
    scores, limits = detector.anomaly_scores(well + ill)
    np.testing.assert_array_equal(detector.score_samples(well + ill), -scores)
    np.testing.assert_array_equal(detector.decision_function(well + ill), limits - scores)
    assert set(limits) == {detector.limit_}
    assert detector.threshold_.clips == 10
    assert detector.threshold_.note is None
    with pytest.warns(UserWarning, match="3 healthy clips can promise a false-alarm rate of 25.0%"):
        assert detector.fit_predict(tones(6, 700)).tolist().count(1) >= 4


def test_files_arrays_rates_and_channels_are_one_to_it(tmp_path):
    detector = Detector(settings={"components": 1}).fit(tones(6, 700))
    [wave] = tones(1, 900)
    soundfile.write(tmp_path / "a.wav", wave, RATE, subtype="DOUBLE")
    of_array, of_file = detector.score_samples([wave, tmp_path / "a.wav"])
    assert of_array == of_file
    assert detector.score_samples([np.stack([wave, wave], axis=1)]) == of_array
    [fast] = tones(1, 900, rate=48_000)
    slow = soxr.resample(fast, 48_000, RATE)
    of_slow = detector.score_samples([slow])
    assert detector.set_params(rate=48_000).score_samples([fast]) == of_slow


def test_it_is_an_estimator():
    detector = Detector("autoencoder", settings={"training.epochs": 1}, seed=3)
    again = clone(detector)
    assert again.get_params() == detector.get_params()
    assert again is not detector
    with pytest.raises(NotFittedError):
        again.predict(tones(1, 700))
    louder = FunctionTransformer(lambda sounds: [0.5 * sound for sound in sounds])
    pipeline = make_pipeline(louder, Detector(settings={"components": 1})).fit(tones(6, 700))
    assert pipeline.predict(tones(2, 2_100)).tolist() == [-1, -1]
    assert pipeline.score_samples(tones(1, 700)) > pipeline.score_samples(tones(1, 2_100))


def test_classes_are_told_apart_by_families_that_need_them():
    sounds, classes = tones(8, 700) + tones(8, 1_900), ["low"] * 8 + ["high"] * 8
    small = {
        "spectrogram": {"n_fft": 256, "chunk_frames": 32, "n_mels": 32, "db": True},
        "backbone.width": 0.125,
        "training": {"epochs": 1, "batch_size": 8, "chunks_per_clip": 1},
    }
    detector = Detector("classifier", settings=small, score_type="cosine").fit(sounds, classes)
    assert detector.detector_.encoder.classes == ("class=high", "class=low")
    assert detector.score_samples(tones(2, 700)).shape == (2,)
    with pytest.raises(UsageError, match="a classifier needs two"):
        clone(detector).fit(sounds)
    with pytest.raises(UsageError, match="y: 2 classes for 16 sounds"):
        clone(detector).fit(sounds, ["a", "b"])


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"family": "gausian"}, "family = 'gausian'"),
        ({"settings": {"componets": 2}}, "componets = 2: no such setting; did you mean components"),
        ({"score_type": "nll"}, r"score_type 'nll': Detector\('gaussian_mixture'\) has own"),
    ],
)
def test_what_cant_be_is_one_sentence(changes, why):
    with pytest.raises(UsageError, match=why):
        Detector(**changes).fit(tones(4, 700))
    with pytest.raises(UsageError, match="no sounds"):
        Detector().fit([])
    with pytest.raises(UsageError, match=r"healthy: one name, where a list .* give \['healthy'\]"):
        Detector().fit("healthy")
    with pytest.raises(UsageError, match=r"n_fft = 1024 is longer than the shortest clip, .* 900 samples"):
        Detector().fit([sound[:900] for sound in tones(4, 700)])
    with pytest.raises(UsageError, match="two are the least"):
        Detector().fit(tones(1, 700))


@pytest.mark.parametrize(
    ("device", "why"),
    [("cuda", "finds no GPU on this computer; take 'cpu'"), ("gpu", "knows none of the name")],
)
def test_a_device_that_is_not_there_is_named(device, why, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UsageError, match=why):
        Detector(device=device).fit(tones(4, 700))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_samples_of_any_kind_are_sounds_and_what_is_none_is_told():
    detector = Detector(settings={"components": 1}).fit(tones(6, 700))
    [wave] = tones(1, 900)
    of_array = detector.score_samples([wave])
    assert detector.score_samples([wave.tolist()]) == detector.score_samples([torch.tensor(wave)]) == of_array
    half = wave.astype(np.float16)
    assert detector.score_samples([half]) == detector.score_samples([half.astype(np.float64)])
    assert detector.set_params(rate=16_000.0).score_samples([wave]) == of_array
    for rate in (0, 16_000.5, float("nan"), "16000", None):
        with pytest.raises(UsageError, match=r"a rate of .*give whole Hz, 1000 to 768000"):
            detector.set_params(rate=rate).score_samples([wave])
    detector.set_params(rate=RATE)
    for sounds, why in (
        ([wave, wave[:10]], "sound 1: 10 samples at 16000 Hz, where gaussian_mixture needs 1024"),
        ([[[0.1], [0.2, 0.3]]], "the array: can't be read as samples"),
        (wave, r"the array: has the shape \[\]"),
    ):
        with pytest.raises(UsageError, match=why):
            detector.score_samples(sounds)
