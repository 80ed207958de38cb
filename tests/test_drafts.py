"""What is written whole or not at all, and what a killed process left of it."""

import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from humtune import drafts
from humtune.drafts import draft_of, drafted, replace_folder, sweep, write_whole
from humtune.sounds.synthetic import Sizes, synthesise


def killed(work: Callable[[], object]) -> None:
    """Do something in a process that ends by SIGKILL."""
    if (pid := os.fork()) == 0:
        work()
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def leave(folder: Path) -> None:
    """A file and a folder in the making."""
    draft_of(folder / "a").write_bytes(b"half")
    draft = draft_of(folder / "b")
    draft.mkdir()
    (draft / "c").write_bytes(b"half")


def test_the_next_writer_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    killed(lambda: leave(tmp_path))
    assert len(names(tmp_path)) == 2
    write_whole(tmp_path / "a", b"whole")
    assert names(tmp_path) == ["a"]


def test_what_a_living_process_makes_is_left_alone(tmp_path: Path) -> None:
    leave(tmp_path)
    sweep(tmp_path)
    assert len(names(tmp_path)) == 2


def test_another_computers_drafts_are_removed_after_a_week(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(socket, "gethostname", lambda: "other-1.local")
        killed(lambda: leave(tmp_path))
    sweep(tmp_path)
    assert len(names(tmp_path)) == 2
    for path in tmp_path.iterdir():
        os.utime(path, (time.time() - 8 * 86_400,) * 2)
    sweep(tmp_path)
    assert names(tmp_path) == []


def test_an_error_names_the_file_and_not_its_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="Input/output error") as told:
        write_whole(tmp_path / "new" / "a", b"whole")
    assert told.value.filename == str(tmp_path / "new" / "a")
    assert names(tmp_path / "new") == []


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_folder_takes_the_place_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchanges: bool
) -> None:
    if not exchanges:
        monkeypatch.setattr(drafts, "_exchange", lambda *_: False)
    for content in ("one", "two"):
        with drafted(tmp_path / "fan") as draft:
            (draft / content).touch()
            replace_folder(draft, tmp_path / "fan")
    assert names(tmp_path) == ["fan"]
    assert names(tmp_path / "fan") == ["two"]


def test_a_reader_always_finds_the_old_folder_or_the_new(tmp_path: Path) -> None:
    """With two renames its place was empty between them, and a kill there cost the old one."""
    (tmp_path / "fan").mkdir()
    (tmp_path / "fan" / "model").touch()
    true, seen = os.rename, []

    def look(*words: object, **named: object) -> None:
        true(*words, **named)  # type: ignore[arg-type]
        seen.append((tmp_path / "fan" / "model").exists())

    with drafted(tmp_path / "fan") as draft, pytest.MonkeyPatch.context() as patch:
        (draft / "model").touch()
        patch.setattr(os, "rename", look)
        replace_folder(draft, tmp_path / "fan")
    assert all(seen)
    assert (tmp_path / "fan" / "model").exists()


def test_a_killed_synthesis_leaves_nothing_behind_the_next_one(tmp_path: Path) -> None:
    sizes = Sizes(1, 1, 1, 1, 0.1)

    def die(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def half() -> None:
        from humtune.sounds import synthetic

        synthetic._write_tables = die  # type: ignore[assignment]
        synthesise(tmp_path / "new", machines=("fan",), sizes=sizes)

    killed(half)
    assert len(names(tmp_path)) == 1
    synthesise(tmp_path / "new", machines=("fan",), sizes=sizes)
    assert names(tmp_path) == ["new"]
