"""When and where in frequency a recording is strange, by a model whose score is the loudness."""

import os
import time

import numpy as np
import pytest
import soundfile
from models import RATE, make_info, write_model

from humtune.metrics.calibration import Threshold
from humtune.runtime.exhibits import ENDS, make_exhibit, read_exhibit
from humtune.runtime.healthy import HEALTHY, read_healthy
from humtune.runtime.log import read_log
from humtune.runtime.outcomes import Scored
from humtune.runtime.recordings import Listener
from humtune.runtime.results import ResultFiles
from humtune.runtime.scorer import Scorer
from humtune.runtime.spectrum import band_edges

HUM = 0.01  # of noise that every recording has


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return HUM * np.random.default_rng(seed).normal(size=round(seconds * RATE))


def whistling(seconds: float, start: float, end: float, hertz: float = 3_000) -> np.ndarray:
    """Noise with a tone in it for a while."""
    moment = np.arange(round(seconds * RATE)) / RATE
    return noise(seconds, 1) + 0.2 * np.sin(2 * np.pi * hertz * moment) * (start <= moment) * (moment < end)


@pytest.fixture
def scorer(tmp_path):
    """A model of windows of 10 s, with two healthy recordings, one of them of another colour."""
    folder = tmp_path / "model"
    write_model(folder, make_info(window=10 * RATE, threshold=Threshold(0.004, 0.1, 50)))
    (folder / HEALTHY).mkdir()
    soundfile.write(folder / HEALTHY / "00.flac", np.cumsum(noise(5, 2)) / 30, RATE)
    soundfile.write(folder / HEALTHY / "01.flac", noise(5, 3), RATE)
    return Scorer.open(folder)


@pytest.fixture
def entry(scorer, tmp_path):
    """Score a waveform: its line in the log."""

    def score(wave, name="strange.wav"):
        soundfile.write(tmp_path / name, wave, RATE)
        outcome = Listener(scorer).score(tmp_path / name)
        assert isinstance(outcome, Scored)
        with ResultFiles(tmp_path, scorer.info) as results:
            results.write(outcome)
        *_, last = read_log(tmp_path)
        return last

    return score


def test_the_stretch_and_the_band_of_a_whistle_are_found_beside_the_nearest_healthy(scorer, entry, tmp_path):
    own, base = entry(whistling(10, 3, 5)), tmp_path / "detail"
    exhibit = make_exhibit(own, scorer, read_healthy(tmp_path / "model", RATE), base)
    assert exhibit is not None
    assert (exhibit.start, exhibit.end) == (3.0, 5.0)
    band = int(np.argmax(exhibit.bands))
    low, high = band_edges(RATE)[band : band + 2]
    assert low < 3_000 < high
    assert exhibit.bands[band] > 5 * max(np.delete(exhibit.bands, band))
    assert own.score - exhibit.bands[band] == pytest.approx(HUM, rel=0.2)
    assert exhibit.healthy == "01"
    assert exhibit.played == (2.0, 6.0)
    for kind in ("", ".healthy"):
        sound, rate = soundfile.read(tmp_path / f"detail{kind}.flac")
        assert (len(sound), rate) == (4 * RATE, RATE)
        assert (tmp_path / f"detail{kind}.png").read_bytes().startswith(b"\x89PNG")
    loud, _ = soundfile.read(tmp_path / "detail.flac")
    quiet, _ = soundfile.read(tmp_path / "detail.healthy.flac")
    assert exhibit.gain > 2
    assert np.abs(loud).max() == pytest.approx(0.7, rel=0.01)
    assert quiet.std() == pytest.approx(exhibit.gain * HUM, rel=0.05)  # as much louder as the other
    assert read_exhibit(own, base) == exhibit


def test_of_a_long_recording_its_strangest_window_is_looked_at(scorer, entry, tmp_path):
    own = entry(whistling(60, 41, 44))
    assert (own.start, own.window, own.windows) == (35.0, 10.0, 11)
    exhibit = make_exhibit(own, scorer, read_healthy(tmp_path / "model", RATE), tmp_path / "detail")
    assert (own.start + exhibit.start, own.start + exhibit.end) == (41.0, 44.0)
    assert exhibit.seconds == 10.0


def test_what_is_no_stranger_than_healthy_sound_has_no_stretch(scorer, entry, tmp_path):
    own = entry(noise(10, 5) / 2)
    exhibit = make_exhibit(own, scorer, read_healthy(tmp_path / "model", RATE), tmp_path / "detail")
    assert (exhibit.start, exhibit.end) == (0.0, 10.0)
    assert max(exhibit.bands) < 0


def test_what_is_below_the_limit_is_not_asked_about(scorer, entry, tmp_path):
    own = entry(whistling(10, 3, 5) / 100)
    scorer.score_window = None  # it would fail
    exhibit = make_exhibit(own, scorer, read_healthy(tmp_path / "model", RATE), tmp_path / "detail")
    assert (exhibit.start, exhibit.end, exhibit.bands) == (0.0, 10.0, ())
    assert all((tmp_path / f"detail{end}").exists() for end in ENDS)


def test_without_healthy_sound_there_is_nothing_to_replace_by(scorer, entry, tmp_path):
    exhibit = make_exhibit(entry(whistling(1.5, 0.5, 1)), scorer, [], tmp_path / "detail")
    assert (exhibit.bands, exhibit.healthy) == ((), None)
    assert (exhibit.start, exhibit.end, exhibit.played) == (0.0, 1.5, (0.0, 1.5))
    assert [(tmp_path / f"detail{end}").exists() for end in ENDS] == [True, True, True, False, False]


def test_a_recording_that_is_gone_or_shorter_has_no_exhibit(scorer, entry, tmp_path):
    own = entry(whistling(60, 41, 44))
    soundfile.write(own.file, noise(5), RATE)
    assert make_exhibit(own, scorer, [], tmp_path / "detail") is None
    os.unlink(own.file)  # noqa: PTH108
    assert make_exhibit(own, scorer, [], tmp_path / "detail") is None
    assert not list(tmp_path.glob("detail*"))


def test_an_exhibit_of_an_earlier_result_or_a_torn_one_is_none(scorer, entry, tmp_path):
    first = entry(whistling(2, 0, 1))
    make_exhibit(first, scorer, [], tmp_path / "detail")
    time.sleep(0.01)
    assert read_exhibit(entry(whistling(2, 0, 1)), tmp_path / "detail") is None
    (tmp_path / "detail.json").write_text('{"time": 3}')
    assert read_exhibit(first, tmp_path / "detail") is None
