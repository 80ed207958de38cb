"""cluster.yaml is what Ray's own schema wants, and every command in it exists."""

from pathlib import Path
from typing import Any

import pytest
import yaml

CLUSTER = Path(__file__).parents[1] / "cluster.yaml"


@pytest.fixture(scope="module")
def cluster() -> dict[str, Any]:
    return yaml.safe_load(CLUSTER.read_text())


def test_ray_accepts_it(cluster: dict[str, Any]) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(cluster)
    validate_config(prepared)
    assert prepared["available_node_types"]["gpu_worker"]["max_workers"] == cluster["max_workers"]


def test_both_start_commands_want_the_token(cluster: dict[str, Any]) -> None:
    for kind in ("head", "worker"):
        *_, start = cluster[f"{kind}_start_ray_commands"]
        assert "RAY_AUTH_MODE=token" in start
    assert "~/.ray/auth_token" in cluster["file_mounts"]


def test_nothing_listens_to_the_outside(cluster: dict[str, Any]) -> None:
    assert "0.0.0.0" not in CLUSTER.read_text()
    assert "--dashboard-host=127.0.0.1" in cluster["head_start_ray_commands"][-1]


def test_what_is_left_out_of_the_copy_can_be_made_again(cluster: dict[str, Any]) -> None:
    ignored = (CLUSTER.parent / ".gitignore").read_text().split()
    for name in cluster["rsync_exclude"]:
        assert name == ".git/" or any(name.strip("*/") == line.strip("/*") for line in ignored)
