import time

import pytest

from humtune.errors import UsageError
from humtune.runtime.recordings import find_recordings, score_file, score_files
from humtune.runtime.scorer import Scorer


def test_a_folder_without_recordings_names_its_folders(tmp_path):
    (tmp_path / "fan" / "test").mkdir(parents=True)
    (tmp_path / "fan" / "notes.txt").write_text("quiet today")
    with pytest.raises(UsageError, match=r"fan: no wav or flac files in it; did you mean .* \(test\)\?"):
        find_recordings([tmp_path / "fan"])
    with pytest.raises(UsageError, match=r"test: no wav or flac files in it$"):
        find_recordings([tmp_path / "fan" / "test"])


def test_folders_become_their_recordings_each_once_and_in_order(record, tmp_path):
    loud, flac, wav = record("loud.wav", 0.5), record("a/b.flac", 0.1), record("a/c.WAV", 0.1)
    (tmp_path / "recordings" / "a" / "notes.txt").write_text("quiet today")
    (tmp_path / "recordings" / "a" / "._c.wav").write_text("")
    (tmp_path / "recordings" / "a" / "folder.wav").mkdir()
    missing = tmp_path / "missing.wav"
    assert find_recordings([missing, loud, wav.parent, loud, wav]) == [missing, loud, flac, wav]


def test_what_can_not_be_read_is_named_and_the_rest_is_scored(model, record, tmp_path):
    paths = [record(f"{i}.wav", 0.01 * (i + 1)) for i in range(12)]
    text = tmp_path / "recordings" / "text.wav"
    text.write_text("not a sound")
    torn = tmp_path / "recordings" / "torn.wav"
    torn.write_bytes(paths[3].read_bytes()[:1_000])
    bad = [text, torn, tmp_path / "recordings" / "gone.wav", tmp_path / "recordings"]
    run = score_files(Scorer.open(model), [*bad[:2], *paths, *bad[2:]])
    assert [s.path for s in run.scored] == paths
    assert [f.path for f in run.failed] == bad
    for failed, reason in zip(run.failed, ("can't be read", "truncated", "can't be opened", ""), strict=True):
        assert reason in failed.reason
        assert str(failed.path) not in failed.reason


def test_scores_keep_the_order_of_the_files_whatever_the_workers(model, record):
    loudness = [0.3, 0.02, 0.2, 0.05, 0.4, 0.01]
    paths = [record(f"{i}.wav", value) for i, value in enumerate(loudness)]
    for workers in (1, 3, None):
        run = score_files(Scorer.open(model), paths, workers=workers)
        assert [s.score for s in run.scored] == pytest.approx(loudness, abs=1e-4)
        assert [s.is_anomaly for s in run.scored] == [value > 0.1 for value in loudness]


def test_what_had_to_be_done_is_counted(model, record):
    paths = [
        record("fits.wav", 0.2),
        record("short.wav", 0.2, samples=1_000),
        record("shorter.wav", 0.2, samples=10),
        record("stereo.wav", 0.2, samples=3_000, channels=2),
    ]
    run = score_files(Scorer.open(model), paths)
    assert [s.score for s in run.scored] == pytest.approx([0.2] * 4, abs=1e-4)
    assert run.changes == {"repeated to the model's shortest, 0.25 s": 3, "mixed down from 2 channels": 1}


def test_another_rate_is_resampled_to_the_models(model, record):
    scored = score_file(Scorer.open(model), record("high.wav", 0.2, samples=48_000, rate=48_000))
    assert scored.seconds == 1
    assert scored.changes == ("resampled from 48000 Hz to 16000 Hz",)


def test_speed_is_that_of_the_clock(model, record):
    paths = [record(f"{i}.wav", 0.1, samples=16_000) for i in range(4)]
    began = time.perf_counter()
    run = score_files(Scorer.open(model), paths)
    took = time.perf_counter() - began
    assert 0 < run.seconds <= took
    assert run.clips_per_second == pytest.approx(4 / run.seconds)
    assert run.real_time_factor == pytest.approx(run.seconds / 4)


def test_nothing_scored_has_no_real_time_factor(model, tmp_path):
    run = score_files(Scorer.open(model), [tmp_path / "gone.wav"])
    assert run.clips_per_second == 0
    assert run.real_time_factor is None
