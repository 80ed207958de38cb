"""The command distill: its words, and what it says where there is nothing to teach."""

import pytest

from humtune.storage import Storage


@pytest.fixture
def search(bench, tmp_path):
    ledger = bench.search(name="first")
    bench.trial(ledger, "fan", 0, skill=1.0)
    return ledger


def test_without_an_ensemble_it_says_the_command_that_makes_one(humtune, search):
    code, _, error = humtune("distill", "first", "--storage", search.storage.uri)
    assert code == 2
    assert "fan: no ensemble yet; humtune ensemble first" in error
    assert "valve: no ensemble yet" in error
    assert Storage(search.storage.uri).list() == ["first"]


def test_an_unknown_machine_lists_the_known(humtune, search):
    code, _, error = humtune("distill", "first", "--machine", "pump", "--storage", search.storage.uri)
    assert code == 2
    assert "search 'first' has no machine 'pump'; it has fan, valve" in error


def test_a_search_without_students_exports_none(humtune, search):
    words = ("--storage", search.storage.uri, "--out", "models")
    code, _, error = humtune("export", "first", "--distilled", *words)
    assert code == 2
    assert "search 'first' has no students; humtune distill first" in error
    code, _, error = humtune("export", "first", "--distilled", "--ensemble", *words)
    assert code == 2
    assert "--ensemble and --distilled" in error
