"""Ray: joined at an address, or started on this computer; whether its nodes reach the storage; left again."""

import atexit
import logging
import os
import shutil
import socket
import threading
from pathlib import Path
from urllib.parse import urlsplit

import ray
from ray._private import ray_constants
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from humtune.environment import set_defaults
from humtune.errors import HumtuneError, UsageError
from humtune.ledger import Ledger

HERE = ("auto", "local")  # addresses that Ray looks up by itself
SOCKET = "/ray/session_2026-01-31_23-59-59_999999_4194304/sockets/plasma_store"  # below the temporary folder
ROOM = 64 * 2**20  # bytes that Ray's logs and sockets have at least
HEAD_PATIENCE = 5.0  # seconds in which a head answers; Ray itself would ask for minutes
NODE_PATIENCE = 120.0  # seconds; a node that is silent for longer is about to be lost: no user's mistake
FAREWELL = 10.0  # seconds in which Ray ends; without its GCS it takes a minute, and ends this process too


def check_device(device: str, address: str | None) -> None:
    """Raise a UsageError where a search on this computer wants a GPU that it doesn't have."""
    if not device.startswith("cuda") or address is not None:
        return
    import torch  # here: a search itself does without its seconds

    if not torch.cuda.is_available():
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
        socket.create_connection((host, port), HEAD_PATIENCE).close()
    except OSError as error:
        raise HumtuneError(f"Ray at {address} can't be reached: {error.strerror or error}") from error


def check_temporary(address: str | None) -> None:
    """Raise a UsageError where Ray, which is started here, could not use the folder for temporary files."""
    if address is not None:
        return
    name = next((n for n in ("RAY_TMPDIR", "TMPDIR") if n in os.environ), "")
    folder = Path(os.environ[name]) if name else Path("/tmp")
    said = f"{name}={folder}" if name else str(folder)
    other = "set RAY_TMPDIR to another folder, such as /tmp"
    longest = 107 - len(SOCKET)  # the kernel's limit of a socket's name
    if not folder.is_dir():
        raise UsageError(f"{said}: there is no such folder for Ray's temporary files; make it, or {other}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"{said}: Ray's temporary files can't be written there; {other}")
    if len(os.fsencode(folder.absolute())) > longest:
        raise UsageError(f"{said}: Ray's sockets want a path of {longest} bytes at most; {other}")
    if (free := shutil.disk_usage(folder).free) < ROOM:
        raise UsageError(
            f"{said}: {free / 2**20:.0f} MiB are free, Ray wants {ROOM / 2**20:.0f}; free some, or {other}"
        )


def connect(address: str | None) -> bool:
    """Join Ray at an address, or start it on this computer; whether it was started here."""
    set_defaults()
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # ours ends the run, keeps the record, tells how to go on
    asked = ray_constants.env_bool("RAY_ENABLE_UV_RUN_RUNTIME_ENV", False)
    ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV = asked  # which Ray read when it was imported
    logging.getLogger("ray.tune.tune").setLevel(logging.CRITICAL)  # or it lists every trial that began again
    if ray.is_initialized():
        return False
    check_address(address)
    check_temporary(address)
    options: dict[str, object] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address is None:
        options |= {"include_dashboard": False, "object_store_memory": 200 * 2**20}
    try:
        ray.init(address=address or "local", **options)
    except Exception as error:  # Ray raises a bare one where a process of its own is dead or too slow
        place = f"Ray at {address} can't be reached" if address else "Ray did not start on this computer"
        raise HumtuneError(f"{place}: {' '.join(str(error).split())}") from error
    return True


def disconnect() -> None:
    """Leave Ray, and end what was started of it here, in seconds.

    A signal to a whole group of processes, as a service manager sends it, ends Ray's own too: Ray would look
    for them until it gives up, and take this process along. What is left of them is killed then.
    """
    ending = threading.Thread(target=ray.shutdown, daemon=True)
    ending.start()
    ending.join(FAREWELL)
    if not ending.is_alive():
        return
    atexit.unregister(ray.shutdown)
    if node := ray._private.worker._global_node:
        node.kill_all_processes(check_alive=False, allow_graceful=False)


def check_shared(ledger: Ledger) -> None:
    """Raise a UsageError that names the nodes where this run's lease can't be read.

    A single node has the storage by itself. Nodes that join later are not asked.
    """
    nodes = {n["NodeID"]: n["NodeManagerHostname"] for n in ray.nodes() if n["Alive"]}
    if len(nodes) < 2:
        return
    look = ray.remote(num_cpus=0, max_retries=0)(misses)
    asked = {
        host: look.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(
            ledger
        )
        for node, host in nodes.items()
    }
    said = {host: _answer(answer) for host, answer in asked.items()}
    missing = sorted(host for host, reason in said.items() if reason)
    if missing:
        raise UsageError(
            f"{', '.join(missing)} can't read the storage {ledger.storage.uri} ({said[missing[0]]}); "
            "several nodes want one that all of them reach: a folder mounted on each, or s3://…"
        )


def misses(ledger: Ledger) -> str:
    """Why this node can't read what the search has just written; nothing where it can."""
    try:
        ledger.check_lease()
    except Exception as error:
        return " ".join(str(error).split())[:300] or type(error).__name__
    return ""


def _answer(answer: "ray.ObjectRef[str]") -> str:
    try:
        return str(ray.get(answer, timeout=NODE_PATIENCE))
    except GetTimeoutError:
        return ""
    except RayError as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        return lines[-1].strip()
