import socket
from pathlib import Path

import pytest

from humtune.errors import HumtuneError, UsageError
from humtune.ledger import Ledger
from humtune.search.connection import check_address, check_device, misses
from humtune.storage import Storage


def test_an_address_where_somebody_answers_is_fine() -> None:
    with socket.create_server(("127.0.0.1", 0)) as head:
        address = f"127.0.0.1:{head.getsockname()[1]}"
        check_address(address)
        check_address(f"ray://{address}")
    with pytest.raises(HumtuneError, match=f"^Ray at {address} can't be reached: Connection refused$"):
        check_address(address)


@pytest.mark.parametrize("address", ["head", "head:", ":6379", "head:many", "head:99999", "[::1"])
def test_what_is_no_address_is_told(address: str) -> None:
    with pytest.raises(UsageError, match="it should be host:port"):
        check_address(address)


def test_a_host_that_nobody_knows_is_told() -> None:
    with pytest.raises(HumtuneError, match=r"^Ray at nowhere\.invalid:6379 can't be reached: "):
        check_address("nowhere.invalid:6379")


def test_a_head_that_is_silent_is_given_up_in_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    def wait(place: object, seconds: float) -> None:
        raise TimeoutError(f"timed out after {seconds:.0f} s")

    monkeypatch.setattr(socket, "create_connection", wait)
    with pytest.raises(HumtuneError, match=r"^Ray at head:6379 can't be reached: timed out after 5 s$"):
        check_address("head:6379")


@pytest.mark.parametrize("address", [None, "auto", "local"])
def test_what_ray_looks_up_by_itself_is_not_asked(address: str | None) -> None:
    check_address(address)


def test_a_gpu_that_is_not_here_may_be_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    check_device("cuda", "head:6379")
    with pytest.raises(UsageError, match="finds no GPU on this computer"):
        check_device("cuda", None)


def test_a_node_without_the_storage_says_why(tmp_path: Path) -> None:
    ledger = Ledger(Storage(tmp_path / "runs"), "fans")
    ledger.take_lease()
    assert misses(ledger) == ""
    elsewhere = Ledger(Storage(tmp_path / "another"), "fans", lease=ledger.lease)
    assert "No such file or directory" in misses(elsewhere)


def test_a_storage_of_the_same_name_is_not_the_same(tmp_path: Path) -> None:
    ledger = Ledger(Storage(tmp_path / "runs"), "fans")
    ledger.take_lease()
    assert "resumed elsewhere" in misses(Ledger(ledger.storage, "fans", lease="another"))
