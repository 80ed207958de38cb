import socket

import pytest

from humtune.errors import HumtuneError, UsageError
from humtune.search.connection import check_address, check_device


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


@pytest.mark.parametrize("address", [None, "auto", "local"])
def test_what_ray_looks_up_by_itself_is_not_asked(address: str | None) -> None:
    check_address(address)


def test_a_gpu_that_is_not_here_may_be_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    check_device("cuda", "head:6379")
    with pytest.raises(UsageError, match="finds no GPU on this computer"):
        check_device("cuda", None)
