"""A cluster of several nodes wants a storage that all of them reach."""

from pathlib import Path

from humtune.ledger import Ledger
from humtune.search.nodes import misses
from humtune.storage import Storage


def test_a_node_without_the_storage_says_why(tmp_path: Path) -> None:
    ledger = Ledger(Storage(tmp_path / "runs"), "fans")
    ledger.begin_sitting()
    assert misses(ledger) == ""
    elsewhere = Ledger(Storage(tmp_path / "another"), "fans", sitting=ledger.sitting)
    assert "No such file or directory" in misses(elsewhere)


def test_a_storage_of_the_same_name_is_not_the_same(tmp_path: Path) -> None:
    ledger = Ledger(Storage(tmp_path / "runs"), "fans")
    ledger.begin_sitting()
    assert "resumed elsewhere" in misses(Ledger(ledger.storage, "fans", sitting="another"))
