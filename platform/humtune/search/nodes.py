"""Whether every node of a cluster reaches the storage: one that doesn't would fail trial after trial."""

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from humtune.errors import UsageError
from humtune.ledger import Ledger

PATIENCE = 120.0  # seconds; a node that is silent for longer is about to be lost: no mistake of the user's


def check_shared(ledger: Ledger) -> None:
    """Raise a UsageError that names the nodes where this sitting's mark can't be read.

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
        ledger.check_sitting()
    except Exception as error:
        return " ".join(str(error).split())[:300] or type(error).__name__
    return ""


def _answer(answer: "ray.ObjectRef[str]") -> str:
    try:
        return str(ray.get(answer, timeout=PATIENCE))
    except GetTimeoutError:
        return ""
    except RayError as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        return lines[-1].strip()
