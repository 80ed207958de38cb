from pathlib import Path

import pytest

from humtune.errors import UsageError
from humtune.export.folders import check_replaceable, write_folder
from humtune.runtime.info import CARD, INFO, MODEL

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
