import pytest

from humtune.sounds import byte_progress as module
from humtune.sounds.byte_progress import byte_progress


def test_without_a_terminal_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert module._QUIET == 2.0  # seconds
    monkeypatch.setattr(module, "_QUIET", 3600.0)
    with byte_progress("dev_fan.zip", total=2_000_000) as show:
        show(1)
    assert capsys.readouterr().err == "", "what is over sooner says nothing"
    monkeypatch.setattr(module, "_QUIET", 0.0)
    with byte_progress("dev_fan.zip", total=2_000_000) as show:
        show(500_000)
        show(600_000)
    assert capsys.readouterr().err == "dev_fan.zip: 500.0 kB of 2.0 MB\n"


def test_on_a_terminal_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with byte_progress("dev_fan.zip", total=2_000_000) as show:
        show(500_000)  # was there before
        show(1_000_000)
        show(0)  # thrown away
        show(1_500_000)
    assert "dev_fan.zip" in (shown := capsys.readouterr().err)
    assert "1.5/2.0 MB" in shown
