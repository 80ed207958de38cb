"""Ray: joined at an address, or started on this computer."""

import logging
import os
import socket
from urllib.parse import urlsplit

import ray
import torch

from humtune.errors import HumtuneError, UsageError

HERE = ("auto", "local")  # addresses that Ray looks up by itself
PATIENCE = 5.0  # seconds in which a head answers; Ray itself would ask for minutes


def check_device(device: str, address: str | None) -> None:
    """Raise a UsageError where a search on this computer wants a GPU that it doesn't have."""
    if device.startswith("cuda") and address is None and not torch.cuda.is_available():
        raise UsageError(
            f"--device {device}: PyTorch finds no GPU on this computer; leave it out, "
            "or name a cluster that has some with --address"
        )


def check_address(address: str | None) -> None:
    """Raise a HumtuneError where nobody answers at the address of a cluster."""
    if address is None or address in HERE:
        return
    try:
        place = urlsplit(f"//{address.removeprefix('ray://')}")
        host, port = place.hostname, place.port
    except ValueError:  # a port that is none
        host = port = None
    if not host or not port:
        raise UsageError(f"address {address!r}: it should be host:port, as ray start says it, or auto")
    try:
        socket.create_connection((host, port), PATIENCE).close()
    except OSError as error:
        raise HumtuneError(f"Ray at {address} can't be reached: {error.strerror or error}") from error


def connect(address: str | None) -> bool:
    """Join Ray at an address, or start it on this computer; whether it was started here."""
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"  # nobody reads Tune's own csv and json files
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # ours ends the run without Tune's advice
    os.environ["TUNE_PRINT_ALL_TRIAL_ERRORS"] = "0"  # a trial's record says why it failed
    logging.getLogger("ray.tune.tune").setLevel(logging.CRITICAL)  # or it lists every trial that began again
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # with it, Tune prints a table of its own, asked or not
    os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = "inf"  # nor its snapshots, which grow with every trial
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if ray.is_initialized():
        return False
    check_address(address)
    options: dict[str, object] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address is None:
        options |= {"include_dashboard": False, "object_store_memory": 200 * 2**20}
    try:
        ray.init(address=address or "local", **options)
    except Exception as error:  # Ray raises a bare one where a process of its own is dead or too slow
        place = f"Ray at {address} can't be reached" if address else "Ray did not start on this computer"
        raise HumtuneError(f"{place}: {' '.join(str(error).split())}") from error
    return True
