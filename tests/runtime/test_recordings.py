import numpy as np
import pytest
import soundfile

from humtune.runtime.info import MODEL, read_info
from humtune.runtime.outcomes import Failed, Look, Scored
from humtune.runtime.recordings import Listener
from humtune.runtime.scorer import Scorer

RATE = 16_000


@pytest.fixture
def listener(model):
    return Listener(Scorer(read_info(model).with_window(1.0), model / MODEL), workers=2)


def write(path, wave, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, **({"samplerate": RATE, "subtype": "PCM_16"} | how))
    return path


def test_what_can_not_be_read_is_named_and_the_rest_is_scored(listener, record, tmp_path):
    folder = tmp_path / "recordings"
    good = [record(f"{i}.wav", 0.01 * (i + 1)) for i in range(6)]
    noise = np.random.default_rng(0).normal(size=(RATE, 2)) * 0.1
    odd = {name: folder / f"{name}.wav" for name in ("text", "torn", "nothing", "zeros", "gone", "nan", "no")}
    odd["text"].write_text("not a sound")
    odd["torn"].write_bytes(good[3].read_bytes()[:1_000])
    odd["nothing"].write_bytes(b"")
    odd["zeros"].write_bytes(bytes(4_000))
    write(odd["nan"], np.where(noise > 0.3, np.nan, noise), subtype="FLOAT")
    write(odd["no"], noise[:0])
    paths = [*odd.values(), folder, folder / "zero\0byte.wav"]
    reasons = ["can't be read as sound", "truncated, 956 of 16000 bytes", "an empty file", "can't be read as"]
    reasons += [
        "can't be opened (No such file",
        "not finite",
        "holds no samples",
        "can't be",
        "can't be opened",
    ]
    came = list(listener.listen([Failed(folder, "told before"), *paths[:4], *good, *paths[4:]]))
    assert [c.path for c in came if isinstance(c, Scored)] == good
    failed = [c for c in came if isinstance(c, Failed)]
    assert failed[0] == Failed(folder, "told before")
    assert [f.path for f in failed[1:]] == paths
    for outcome, reason in zip(failed[1:], reasons, strict=True):
        assert reason in outcome.reason
        assert str(outcome.path) not in outcome.reason
        assert "\n" not in outcome.reason


@pytest.mark.integration
def test_a_recording_that_may_not_be_read_is_told(listener, record, as_nobody):
    locked = record("locked.wav", 0.1)
    locked.chmod(0)
    with as_nobody():
        assert listener.score(locked) == Failed(locked, "can't be opened (Permission denied)")


def test_an_outcome_tells_how_the_file_looked_before_it_was_read(listener, record, monkeypatch):
    path, text = record("a.wav", 0.1), record("b.wav", 0.1)
    text.write_text("not a sound")
    before, score = Look.at(path), listener.scorer.score_window

    def rewrite(window):
        record("a.wav", 0.2, samples=9_000)
        return score(window)

    monkeypatch.setattr(listener.scorer, "score_window", rewrite)
    assert listener.score(path).look == before != Look.at(path)
    assert listener.score(text).look == Look.at(text)
    assert listener.score(path.with_name("gone.wav")).look is None  # it may come back


def test_odd_sound_is_scored_and_told(listener, tmp_path):
    noise = np.random.default_rng(0).normal(size=10 * RATE) * 0.05

    def notes(name, wave, **how):
        outcome = listener.score(write(tmp_path / name, wave, **how))
        assert isinstance(outcome, Scored), outcome
        return list(outcome.notes)

    assert notes("fine.wav", noise[:RATE]) == []
    windows = "scored in windows of 1 s"
    assert notes("silent.flac", np.zeros(20 * RATE)) == ["silent from end to end", windows]
    assert notes("clipped.wav", 40 * noise[:RATE]) == ["clipped, more than 0.1% of it at full scale"]
    assert notes("short.wav", noise[:100]) == ["repeated to the model's shortest, 0.25 s"]
    assert notes("array.wav", np.stack([noise[:RATE]] * 8, axis=1)) == ["mixed down from 8 channels"]
    low = ["resampled from 8000 Hz to 16000 Hz", "nothing above 4000 Hz in it"]
    assert notes("low.wav", noise[:8_000], samplerate=8_000) == low
    assert notes("high.wav", noise, samplerate=192_000) == ["resampled from 192000 Hz to 16000 Hz"]
    left = "channel 2 of 2 silent, which makes the mix quieter; --channel 1 reads one alone"
    assert notes("left.wav", np.outer(noise[:RATE], [1, 0])) == ["mixed down from 2 channels", left]


def test_a_header_behind_its_file_and_floats_in_other_units_are_told(listener, record, tmp_path):
    content = bytearray(record("late.wav", 0.1).read_bytes())
    content[40:44] = bytes(4)
    (tmp_path / "late.wav").write_bytes(content)
    outcome = listener.score(tmp_path / "late.wav")
    assert (outcome.seconds, outcome.score) == (0.5, pytest.approx(0.1, abs=1e-4))
    assert outcome.notes == ("its header promises less sound than there is, which was read to its end",)
    huge = write(tmp_path / "huge.wav", 32_768 * np.sin(np.arange(60 * RATE)), subtype="DOUBLE")
    told = (
        "holds samples up to 32768, where 1 is full scale; write it as 16 bit, or divide its samples by 32768"
    )
    assert listener.score(huge) == Failed(huge, told)


def test_the_channel_is_the_models(model, tools, tmp_path):
    square = np.where(np.arange(RATE) % 2, 1.0, -1.0)
    path = write(tmp_path / "both.wav", np.outer(square, [0.05, 0.3]))
    for channel, loudness in ((None, 0.175), (1, 0.05), (2, 0.3)):
        tools["write"](model, tools["info"](channel=channel))
        outcome = Listener(Scorer.open(model)).score(path)
        assert outcome.score == pytest.approx(loudness, abs=1e-4)
    told = "has 1 channel, no channel 2; choose another --channel, or mix"
    mono = write(tmp_path / "mono.wav", 0.1 * square)
    assert Listener(Scorer.open(model)).score(mono) == Failed(mono, told)


def test_scores_keep_the_order_of_the_files_whatever_the_workers(model, record):
    loudness = [0.3, 0.02, 0.2, 0.05, 0.4, 0.01]
    paths = [record(f"{i}.wav", value) for i, value in enumerate(loudness)]
    for workers in (1, 3, None):
        listener = Listener(Scorer.open(model), workers=workers)
        assert len(list(listener.listen(paths[:2]))) == 2
        came = list(listener.listen(paths))
        assert [s.score for s in came] == pytest.approx(loudness, abs=1e-4)
        assert [s.is_anomaly for s in came] == [value > 0.1 for value in loudness]
        assert {s.seconds for s in came} == {0.5}


def test_a_long_recording_has_a_score_for_every_window_and_its_strangest_decides(listener, record, tmp_path):
    level = np.repeat([0.05, 0.3, 0.05, 0.05], [3 * RATE, RATE, 2 * RATE, 5_000])
    square = level * np.where(np.arange(len(level)) % 2, 1, -1)
    outcome = listener.score(write(tmp_path / "long.wav", square))
    timeline = outcome.timeline
    expected = [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 5.3125]
    assert timeline.starts.tolist() == expected
    half = np.sqrt((0.3**2 + 0.05**2) / 2)
    wanted = [0.05] * 5 + [half, 0.3, half] + [0.05] * 4
    np.testing.assert_allclose(timeline.scores, wanted, atol=1e-4)
    assert timeline.above.tolist() == [False] * 5 + [True] * 3 + [False] * 4
    assert (outcome.score, outcome.is_anomaly) == (timeline.scores.max(), True)
    assert outcome.seconds == pytest.approx(6.3125)


def test_a_window_says_what_a_clip_of_its_own_would(listener, tmp_path):
    noise = np.random.default_rng(1).normal(size=10 * RATE) * np.linspace(0.01, 0.3, 10 * RATE)
    timeline = listener.score(write(tmp_path / "long.wav", noise)).timeline
    for number in (0, 7, 18):
        start = number * RATE // 2
        clip = write(tmp_path / "clip.wav", noise[start : start + RATE])
        assert listener.score(clip).score == timeline.scores[number]


def test_a_recording_cut_off_in_the_middle_has_no_timeline(listener, record, tmp_path):
    torn = tmp_path / "torn.flac"
    content = write(torn, np.random.default_rng(0).normal(size=60 * RATE) * 0.1).read_bytes()
    torn.write_bytes(content[: len(content) // 2])
    outcome = listener.score(torn)
    assert isinstance(outcome, Failed)
    assert "truncated" in outcome.reason or "can't be read as sound" in outcome.reason


def test_results_come_while_more_recordings_are_waited_for(listener, record):
    """As from a list that another program still writes."""
    paths = [record(f"{i}.wav", 0.2) for i in range(2)]
    asked = []

    def slowly():
        for path in paths:
            yield path
            while not asked:
                pass
            asked.clear()

    came = listener.listen(slowly())
    assert next(came).path == paths[0]
    asked.append(True)
    assert next(came).path == paths[1]
    asked.append(True)
    assert next(came, None) is None
