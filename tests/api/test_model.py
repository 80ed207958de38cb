"""Model: the exported model of `tests/support/models.py`, whose score is a sound's root mean square."""

import numpy as np
import pytest
import soundfile
import torch
from models import RATE, make_info, write_model
from numpy.typing import NDArray

from humtune import HumtuneError, Model, UsageError
from humtune.runtime.outcomes import Failed
from humtune.runtime.scale import Scale


@pytest.fixture
def model(tmp_path):
    write_model(tmp_path / "fan", make_info())
    return Model.load(tmp_path / "fan")


def noise(loudness: float, *, rate: int = RATE, seconds: float = 1.0) -> NDArray[np.float64]:
    return np.clip(loudness * np.random.default_rng(0).normal(size=round(rate * seconds)), -1, 1)


def test_an_array_scores_as_the_file_of_it_does(model, tmp_path):
    """To the bit, whatever the rate, the channels, the type or the length."""
    long = np.concatenate([noise(0.02, seconds=30), noise(0.3, seconds=4)])
    stereo = np.stack([noise(0.1, rate=44_100), noise(0.2, rate=44_100)[::-1]], axis=1)
    for wave, rate in ((noise(0.05), RATE), (stereo, 44_100), (long, RATE), (noise(0.1, seconds=0.1), RATE)):
        for samples in (wave, np.rint(wave * 32_767).astype(np.int16)):
            whole = samples.dtype == np.int16
            soundfile.write(tmp_path / "a.wav", samples, rate, subtype="PCM_16" if whole else "DOUBLE")
            [of_file] = model.score(tmp_path / "a.wav")
            of_array = model.score(samples, rate)
            assert of_array.score == of_file.score
            assert (of_array.scale, of_array.seconds, of_array.notes) == (
                of_file.scale,
                of_file.seconds,
                of_file.notes,
            )
    assert model.score(noise(0.05), RATE).score == pytest.approx(0.05, rel=0.02)


def test_files_of_all_kinds_come_in_order_and_one_that_cant_be_read_keeps_none_from_it(model, tmp_path):
    place = tmp_path / "new"
    place.mkdir()
    for name, loudness in (("a.wav", 0.05), ("c.wav", 0.3), ("d.wav", 0.2)):
        soundfile.write(place / name, noise(loudness), RATE)
    (place / "b.wav").write_bytes(b"no sound")
    scores = model.score(place)
    assert [one.path.name for one in scores] == ["a.wav", "b.wav", "c.wav", "d.wav"]
    assert [one.path.name for one in scores.anomalies] == ["c.wav", "d.wav"]
    assert [one.path.name for one in scores.failed] == ["b.wav"]
    assert model.score([place / "a.wav", str(place / "c.wav")])[1] == scores[2]
    assert isinstance(model.score(tmp_path / "gone.wav")[0], Failed)
    frame = scores.to_frame()
    assert frame["anomaly"].tolist()[2:] == [True, True]
    assert "can't be read" in frame["error"][1]
    html = scores._repr_html_()
    assert html.count("<tr>") == 5
    assert "anomaly" in html


def test_what_is_no_sound_is_an_error_with_its_mend(model):
    with pytest.raises(UsageError, match="doesn't say its rate"):
        model.score(noise(0.1))
    with pytest.raises(UsageError, match=r"int64; give floats in \[-1, 1\], or int16"):
        model.score(np.arange(9), RATE)
    with pytest.raises(UsageError, match=r"shape \[2, 16000\]; give samples \[n\], or \[n, channels\]"):
        model.score(np.zeros((2, RATE)), RATE)
    with pytest.raises(HumtuneError, match="samples up to 12000, where 1 is full scale"):
        model.score(np.full(RATE, 12_000.0), RATE)
    with pytest.raises(HumtuneError, match="not finite"):
        model.score(np.full(RATE, np.nan), RATE)


def test_signs_are_those_of_scikit_learn(model, tmp_path):
    soundfile.write(tmp_path / "loud.wav", noise(0.5), RATE)
    sounds = [noise(0.05), tmp_path / "loud.wav"]
    scores = [model.score(sounds[0], RATE).score, model.score(sounds[1])[0].score]
    np.testing.assert_array_equal(model.score_samples(sounds), [-s for s in scores])
    np.testing.assert_array_equal(model.decision_function(sounds), [0.1 - s for s in scores])
    assert model.predict(sounds).tolist() == [1, -1]


def test_a_model_says_what_it_is(model, tmp_path):
    assert (model.machine, model.sample_rate, model.limit) == ("fan", RATE, 0.1)
    assert "fan-00003" in repr(model)
    assert "fans: fan-00003, cosine" in model._repr_html_()
    with pytest.raises(UsageError, match="no such folder"):
        Model.load(tmp_path / "fam")


def test_an_explanation_names_when_and_where_a_sound_is_strange(model, tmp_path):
    """A loud tone of 3 kHz from 4 to 6 s in quiet noise; the model carries quiet noise as healthy."""
    (model.folder / "healthy").mkdir()
    soundfile.write(model.folder / "healthy" / "well.flac", noise(0.02, seconds=10), RATE)
    sound = noise(0.02, seconds=10)
    time = np.arange(len(sound)) / RATE
    sound += 0.5 * np.sin(2 * np.pi * 3_000 * time) * ((time >= 4) & (time < 6))
    found = model.explain(sound, RATE)
    assert found.scored == model.score(sound, RATE)
    assert (found.start, found.end) == (4.0, 6.0)
    assert found.strangest_band.low < 3_000 < found.strangest_band.high
    assert found.bands[-1].high == pytest.approx(RATE / 2)
    assert found.healthy == "well"
    assert found.image.startswith(b"\x89PNG")
    assert "4.0 to 6.0 s" in found._repr_html_()
    soundfile.write(tmp_path / "tone.wav", sound, RATE, subtype="DOUBLE")
    assert model.explain(tmp_path / "tone.wav").bands == found.bands


def test_of_a_long_sound_the_strangest_window_is_explained(model):
    quiet, loud = noise(0.02, seconds=20), noise(0.3, seconds=10)
    found = model.explain(np.concatenate([quiet, loud]), RATE)
    assert (found.start, found.end) == (20.0, 30.0)
    assert (found.bands, found.strangest_band, found.healthy) == ((), None, None)


def test_a_limit_by_new_recordings_is_kept_and_taken_back(model, tmp_path):
    for i in range(6):
        (tmp_path / "well").mkdir(exist_ok=True)
        soundfile.write(tmp_path / "well" / f"{i}.wav", noise(0.2 + i / 100), RATE)
    assert model.recalibrate(tmp_path / "well", false_alarms=0.2) == ()
    assert model.limit > 0.2
    assert Model.load(model.folder).limit == model.limit
    assert model.score(noise(0.15), RATE).scale != Scale(0.1)
    model.undo()
    assert model.limit == 0.1


def test_of_several_arrays_none_loses_its_rate(model):
    wave = noise(0.05)
    with pytest.raises(UsageError, match="of several arrays score each"):
        model.score([wave, wave], RATE)
    for of_file in (model.score, model.explain):
        with pytest.raises(UsageError, match=r"rate = 44100: .* own; leave it out"):
            of_file("a.wav", 44_100)
    with pytest.raises(UsageError, match="new: one name, where a list of files or arrays is due"):
        model.predict("new")
    assert model.score(torch.tensor(wave), RATE) == model.score(wave, float(RATE))
