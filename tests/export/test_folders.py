import signal
import subprocess
import sys
from pathlib import Path

import pytest

from humtune.errors import UsageError
from humtune.export.folders import check_replaceable, write_folder
from humtune.runtime.info import CARD, INFO, MODEL

KILLED = """
import os, signal, sys
from pathlib import Path
from humtune.export.folders import write_folder

step, left = getattr(Path, sys.argv[2]), int(sys.argv[3])
def die(*words):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(*words)
setattr(Path, sys.argv[2], die)
write_folder(Path(sys.argv[1]), {"model.onnx": b"new", "model.json": b"[]"})
"""

FILES = {MODEL: b"graph", INFO: b"{}", CARD: b"# fan"}


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_recordings_are_never_replaced(tmp_path):
    recording = tmp_path / "fan" / "train" / "a.wav"
    recording.parent.mkdir(parents=True)
    recording.write_bytes(b"sound")
    for refused in (check_replaceable, lambda folder: write_folder(folder, FILES)):
        with pytest.raises(UsageError, match=r"fan: holds train, which is no part of a model"):
            refused(tmp_path / "fan")
    assert recording.read_bytes() == b"sound"
    assert [p.name for p in tmp_path.iterdir()] == ["fan"]


def test_a_file_in_the_place_of_a_folder_is_never_replaced(tmp_path):
    (tmp_path / "fan").write_text("a file")
    with pytest.raises(UsageError, match=r"fan: a file lies where the model's folder goes"):
        write_folder(tmp_path / "fan", FILES)
    assert (tmp_path / "fan").read_text() == "a file"


def test_a_place_that_can_not_be_written_is_named(tmp_path):
    (tmp_path / "models").write_text("a file")
    with pytest.raises(UsageError, match=r"models/fan: can't be written \(Not a directory\)"):
        write_folder(tmp_path / "models" / "fan", FILES)


def test_a_model_is_replaced_whole(tmp_path):
    write_folder(tmp_path / "models" / "fan", FILES)
    assert content(tmp_path / "models" / "fan") == FILES
    write_folder(tmp_path / "models" / "fan", {MODEL: b"other", INFO: b"[]"})
    assert content(tmp_path / "models" / "fan") == {MODEL: b"other", INFO: b"[]"}
    assert [p.name for p in (tmp_path / "models").iterdir()] == ["fan"]


@pytest.mark.parametrize("step", ["open", "rename"])
def test_a_write_that_fails_leaves_the_model_before(tmp_path, monkeypatch, step):
    folder = tmp_path / "fan"
    write_folder(folder, FILES)
    true_step = getattr(Path, step)

    def fail(path, *arguments):
        if "draft" in str(path):
            raise OSError(28, "No space left on device")
        return true_step(path, *arguments)

    monkeypatch.setattr(Path, step, fail)
    with pytest.raises(UsageError, match=r"fan: can't be written \(No space left on device\)"):
        write_folder(folder, {MODEL: b"new"})
    monkeypatch.undo()
    assert content(folder) == FILES
    assert [p.name for p in tmp_path.iterdir()] == ["fan"]


@pytest.mark.parametrize(("step", "time"), [("open", 2), ("rename", 1)])
def test_a_kill_leaves_the_model_and_the_next_write_leaves_nothing_else(tmp_path, step, time):
    folder = tmp_path / "fan"
    write_folder(folder, FILES)
    killed = subprocess.run([sys.executable, "-c", KILLED, folder, step, str(time)], capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert content(folder) == FILES
    assert list(tmp_path.glob(".draft-*"))
    write_folder(folder, FILES)
    assert content(folder) == FILES
    assert [p.name for p in tmp_path.iterdir()] == ["fan"]
