"""How a search ends: the same for who gives a command and for who calls it from Python."""

import logging

import pytest
from loop import studies_of

from humtune import HumtuneError, Search
from humtune.records import TrialState
from humtune.search import run
from humtune.search.clock import Clock


@pytest.fixture
def over(bench, monkeypatch):
    """A search of which nothing more runs."""
    monkeypatch.setattr(run, "run", lambda ledger, **_: studies_of(ledger))
    space = {"fixed": {"family": "gaussian_mixture"}, "search": {"components": [1, 2, 4]}}
    return bench.search("fans", trials=3, space=space)


def test_one_that_was_stopped_with_failed_trials_alone_has_failed(over, bench, humtune):
    place = ("--storage", bench.storage.uri)
    assert humtune("resume", "fans", *place)[0] == 0  # stopped before any trial ended
    assert Search(over).resume().name == "fans"
    bench.trial(over, "fan", 0, state=TrialState.FAILED, reason="no memory", epochs=0)
    code, out, err = humtune("resume", "fans", *place)
    why = "no trial completed: 1 failed, 'no memory' (1 of them)"
    assert code == 1
    assert "left: " in out
    assert err.endswith(f"humtune: {why}\n")
    with pytest.raises(HumtuneError) as caught:
        Search(over).resume()
    assert str(caught.value) == why


def test_a_machine_of_which_nothing_came_is_named(over, bench, humtune, caplog):
    bench.trial(over, "fan", 0)
    bench.trial(over, "valve", 0, state=TrialState.FAILED, reason="no memory", epochs=0)
    why = "valve: no trial completed: 1 failed, 'no memory' (1 of them)"
    code, out, err = humtune("resume", "fans", "--storage", bench.storage.uri)
    assert code == 0, err
    assert why in out
    with caplog.at_level(logging.WARNING):
        Search(over).resume()
    assert why in caplog.messages


def test_from_python_too_the_hours_run_since_it_was_called(over, bench, monkeypatch):
    """What checks and reading took is spent."""
    times, spent = iter([100.0, 130.0]), []

    def of(ledger, hours, **words):
        spent.append(words["spent"])
        return Clock()

    bench.trial(over, "fan", 0)
    monkeypatch.setattr("humtune.api.start.monotonic", lambda: next(times))
    monkeypatch.setattr("humtune.search.to_end.monotonic", lambda: next(times))
    monkeypatch.setattr(Clock, "of", of)
    search = Search(over).resume(hours=1.0)
    assert spent == [pytest.approx(30.0 + 72.0)]
    assert "fan" in search.ensembles()
