"""--hours: a search ends when its time is over, and with it come the ensembles."""

from collections.abc import Callable
from pathlib import Path

import pytest
from loop import search_here

from humtune.ledger import Ledger
from humtune.records import TrialState
from humtune.results.ensembles.record import find_ensemble
from humtune.search.clock import Clock
from humtune.sounds.synthetic import Sizes, synthesise
from humtune.storage import Storage

Run = Callable[..., tuple[int, str, str]]

SPACE = """
sampler: grid
seeds: 4
fixed: {family: noop, steps: 1}
search: {blur: [0, 3]}
"""


@pytest.fixture
def words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mlflow_ready: Callable[[Path], Path]
) -> tuple[str, ...]:
    """A search of eight trials, which runs here."""
    sizes = Sizes(sections=1, train_source=8, train_target=4, test_per_cell=4, seconds=1.0)
    synthesise(tmp_path / "data", machines=["fan"], sizes=sizes)
    (tmp_path / "levels.yaml").write_text(SPACE)
    search_here(monkeypatch)
    mlflow_ready(tmp_path / "humtune-runs")
    return ("search", "levels.yaml", "--data", "data", "--hours", "1")


def over_after(monkeypatch: pytest.MonkeyPatch, trials: int) -> None:
    """Let a search's time be over as soon as so many trials are complete."""

    def of(ledger: Ledger, hours: float, *, spent: float) -> Clock:
        assert spent >= 72.0  # what is kept back of an hour
        return Clock(3600 * (hours - 1), lambda: complete(ledger) >= trials)

    monkeypatch.setattr(Clock, "of", of)


def complete(ledger: Ledger) -> int:
    return sum(record.state == TrialState.COMPLETE for record in ledger.records())


def test_when_the_time_is_over_the_ensemble_is_made_and_more_hours_go_on(
    words: tuple[str, ...], humtune: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over_after(monkeypatch, 3)
    code, out, err = humtune(*words)
    assert code == 0, err
    ledger = Ledger.open(Storage(tmp_path / "humtune-runs"), "levels")
    assert complete(ledger) == 3
    assert "5 trials left: humtune resume levels --hours 2\n" in out
    assert "fan-ensemble: " in out
    made = find_ensemble(ledger, "fan")
    assert made
    assert made.settings.candidates == 3
    assert made.settings.exportable
    code, out, _ = humtune("resume", "levels")
    assert (code, complete(ledger)) == (0, 3)
    assert "5 trials left" in out
    code, out, err = humtune("resume", "levels", "--hours", "2")
    assert (code, complete(ledger)) == (0, 8), err
    assert "left" not in out
    again = find_ensemble(ledger, "fan")
    assert again
    assert again.settings.candidates == 8


def test_a_time_in_which_nothing_ends_is_a_search_that_failed(
    words: tuple[str, ...], humtune: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over_after(monkeypatch, 0)
    code, out, err = humtune(*words)
    assert code == 1
    assert "8 trials left: humtune resume levels --hours 2\n" in out
    assert err.endswith("humtune: no trial could be ended in 1 h\n")
