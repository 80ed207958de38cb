import shutil
import threading
import time
from pathlib import Path

import pytest
import soundfile

from humtune.errors import UsageError
from humtune.runtime.outcomes import Failed
from humtune.runtime.watch import watch

SOON = {"every": 0.02, "settled": 0.1}


@pytest.fixture
def arriving(tmp_path):
    """Watch the folder "in"; what arrives in a list."""
    (tmp_path / "in").mkdir()
    found: list[Path | Failed] = []
    stop = threading.Event()

    def collect(paths):
        for path in paths:
            found.append(path)
            if stop.is_set():
                return

    def begin(**waits):
        paths = watch(tmp_path / "in", **(SOON | waits))
        threading.Thread(target=collect, args=(paths,), daemon=True).start()
        return found

    yield begin
    stop.set()


def wait_until(true, seconds=30.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)


def test_what_is_no_folder_is_refused_at_once(tmp_path):
    with pytest.raises(UsageError, match="nowhere: not a folder that can be watched"):
        watch(tmp_path / "nowhere")


def test_what_is_there_comes_first_then_what_arrives_and_what_is_written_anew(arriving, record, tmp_path):
    folder = tmp_path / "in"
    wav = record("a.wav", 0.1)
    shutil.copy(wav, folder / "old.wav")
    (folder / "notes.txt").write_text("quiet today")
    found = arriving()
    wait_until(lambda: found == [folder / "old.wav"])
    shutil.copy(wav, folder / "new.wav")
    wait_until(lambda: found[1:] == [folder / "new.wav"])
    shutil.copy(record("b.wav", 0.2, samples=9_000), folder / "old.wav")
    wait_until(lambda: found[2:] == [folder / "old.wav"])


def test_a_file_in_the_making_is_waited_for_until_it_holds_what_its_header_promises(
    arriving, record, tmp_path
):
    whole = record("whole.wav", 0.1).read_bytes()
    target = tmp_path / "in" / "slow.wav"
    found = arriving(patience=3600)
    for size in (0, 30, 2_000, len(whole) - 2):  # each looks finished for far longer than `settled`
        target.write_bytes(whole[:size])
        time.sleep(0.5)
        assert found == []
    target.write_bytes(whole)
    wait_until(lambda: found == [target])
    assert len(soundfile.read(target)[0]) == 8_000


def test_a_file_that_grows_is_left_alone_though_its_header_promises_nothing(arriving, record, tmp_path):
    """As `ffmpeg` and recorders write that don't know the end when they begin."""
    whole = bytearray(record("whole.wav", 0.1).read_bytes())
    whole[4:8] = whole[40:44] = b"\xff\xff\xff\xff"
    target = tmp_path / "in" / "streamed.wav"
    found = arriving(settled=2.0)
    with target.open("wb") as stream:
        for start in range(0, len(whole), 800):  # 21 parts, a pause far below `settled` between two
            stream.write(whole[start : start + 800])
            stream.flush()
            time.sleep(0.1)
            assert found == []
    wait_until(lambda: found == [target])


def test_what_never_becomes_whole_is_told_in_the_end(arriving, record, tmp_path):
    torn = tmp_path / "in" / "torn.wav"
    torn.write_bytes(record("whole.wav", 0.1).read_bytes()[:2_000])
    found = arriving(patience=0.5)
    wait_until(lambda: found == [torn])


def test_a_folder_that_goes_away_is_told_once_and_waited_for(arriving, record, tmp_path):
    folder, away = tmp_path / "in", tmp_path / "away"
    found = arriving()
    folder.rename(away)
    told = Failed(folder, "can't be listed (No such file or directory); waiting for it")
    wait_until(lambda: found == [told])
    time.sleep(0.2)
    assert found == [told]
    shutil.copy(record("a.wav", 0.1), away / "a.wav")
    away.rename(folder)
    wait_until(lambda: found[1:] == [folder / "a.wav"])
