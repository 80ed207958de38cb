"""How errors reach a person: one line, an exit code, no traceback."""

import errno
from pathlib import Path

import pytest

from humtune.cli import main
from humtune.errors import HumtuneError, UsageError
from humtune.storage import Storage


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (UsageError("space [a]: no such key"), 2, "humtune: space [a]: no such key"),
        (HumtuneError("the loss became nan"), 1, "humtune: the loss became nan"),
        (
            PermissionError(errno.EACCES, "Permission denied", "/root/x"),
            1,
            "humtune: /root/x: Permission denied",
        ),
        (
            OSError(errno.ENAMETOOLONG, "File name too long", "xxx"),
            2,
            "humtune: xxx: File name too long; give a shorter one",
        ),
        (
            OSError("Could not load this library: /x/torchaudio/lib/_torchaudio.so"),
            1,
            "humtune: torchaudio can't be loaded beside the PyTorch that is installed here (one for CUDA, "
            "one for CPUs?); install both anew, together and from one place",
        ),
    ],
)
def test_an_error_is_one_line(
    error: Exception,
    code: int,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(main, "app", fail)
    with pytest.raises(SystemExit) as exit_:
        main.main()
    assert exit_.value.code == code
    assert capsys.readouterr().err == f"{told}\n"


def test_a_full_disk_is_one_line_also_where_no_file_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(main, "app", full)
    with pytest.raises(SystemExit) as end:
        main.main()
    assert end.value.code == 1
    assert (
        capsys.readouterr().err
        == "humtune: No space left on device; free some space there, or write to another disk\n"
    )


def test_a_mistake_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError("no file to name")

    monkeypatch.setattr(main, "app", fail)
    with pytest.raises(OSError, match="no file"):
        main.main()


def test_every_command_has_help_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    from typer.testing import CliRunner

    commands = [[c.callback.__name__] for c in main.app.registered_commands if c.callback is not None]
    commands += [["data", "synth"], ["data", "check"], ["data", "fetch"], ["data", "import"]]
    assert len(commands) > 9
    for words in commands:
        shown = CliRunner().invoke(main.app, [*words, "--help"])
        assert shown.exit_code == 0
        assert words == ["version"] or f"Example: humtune {' '.join(words)}" in " ".join(shown.output.split())


def test_next_commands_name_a_storage_that_is_not_the_usual_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HUMTUNE_STORAGE", raising=False)
    assert Storage(tmp_path / "humtune-runs").option == ""
    assert Storage(tmp_path / "here").option == str(tmp_path / "here")
    monkeypatch.setenv("HUMTUNE_STORAGE", str(tmp_path / "here"))
    assert Storage(tmp_path / "here").option == ""
