"""cluster.yaml and cluster.local.yaml are what Ray's own schema wants, and every command in them exists."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

HOUSE = Path(__file__).parents[2]
FILES = ("cluster.yaml", "cluster.local.yaml")
COMMANDS = ("setup", "head_setup", "head_start_ray", "worker_start_ray")
OURS = {"pip", "python", "ray"}  # what ~/venv/bin holds once the project is installed there
DEBIAN = {"sudo", "psql", "createuser", "createdb"}  # of packages, as long as nobody has installed them here


def config(name: str) -> dict[str, Any]:
    return yaml.safe_load((HOUSE / name).read_text())


def commands(name: str) -> list[str]:
    return [c for kind in COMMANDS for c in config(name).get(f"{kind}_commands", [])]


def words(command: str) -> list[list[str]]:
    """The simple commands of a shell command."""
    command = re.sub(r"\d?>&\d|\d?[<>]+ *\S+", "", command)
    lexer = shlex.shlex(command, posix=True, punctuation_chars="();&|")
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    for word in lexer:
        if set(word) <= set("();&|{}"):
            found.append([])
        elif not re.match(r"\w+=", word) or found[-1]:
            found[-1].append(word)
    return [f for f in found if f and f[0] != "."]


@pytest.mark.parametrize("name", FILES)
def test_ray_accepts_it(name: str) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(config(name)))


@pytest.mark.parametrize("name", FILES)
def test_what_a_user_sets_is_at_the_top_with_a_comment_each(name: str) -> None:
    top, rest = (HOUSE / name).read_text().split("# --- What follows may stay as it is")
    _, mine = top.split("# --- What is yours to set")
    values = re.findall(r"^ *\w+: ?[^\s#].*$", mine, re.MULTILINE)
    bare = [v for v in values if "#" not in v]
    assert [b.split(":")[0].strip() for b in bare] == {
        "cluster.yaml": ["cluster_name", "type", "cache_stopped_nodes"],
        "cluster.local.yaml": ["cluster_name", "type"],
    }[name]
    assert not re.search(r"my-bucket|192\.168\.|eu-west|\d+\.\d+\.\d+\.\d+(?<!127\.0\.0\.1)", rest)


@pytest.mark.parametrize("name", FILES)
def test_nodes_know_each_other_by_the_token_and_listen_to_nobody_else(name: str) -> None:
    asked = config(name)
    assert asked["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert any("RAY_AUTH_MODE=token" in c for c in asked["setup_commands"])
    starts = [c for c in commands(name) if "ray start" in c]
    assert len(starts) == 2
    assert all(c.startswith(". ~/humtune.env && ") for c in starts)
    assert "--dashboard-host=127.0.0.1" in starts[0]
    assert "0.0.0.0" not in (HOUSE / name).read_text()


@pytest.mark.parametrize("name", FILES)
def test_what_it_copies_is_what_the_project_is_built_from(name: str) -> None:
    mounts = config(name)["file_mounts"]
    project = tomllib.loads((HOUSE / "pyproject.toml").read_text())["project"]
    for there, here in mounts.items():
        if there.startswith("~/humtune/"):
            assert there == f"~/humtune/{here}"
            assert (HOUSE / here).exists()
    assert {
        "pyproject.toml",
        "platform",
        "search_spaces",
        project["readme"],
        *project["license-files"],
    } <= set(mounts.values())


@pytest.mark.parametrize("name", FILES)
def test_every_command_exists(name: str) -> None:
    """Bash can read it; each program is here, in the project's environment or in a package that is named."""
    for command in commands(name):
        subprocess.run(["bash", "-n", "-c", command], check=True)
        for simple in words(command):
            program = Path(simple[0]).name
            if program in OURS:
                assert (Path(sys.prefix) / "bin" / program).exists(), command
            elif program not in DEBIAN:
                known = subprocess.run(["bash", "-c", f"type {program}"], capture_output=True)
                assert known.returncode == 0, command


@pytest.mark.parametrize("name", FILES)
def test_ray_knows_every_option_of_its_commands(name: str) -> None:
    from ray.scripts.scripts import cli

    told = [s for c in commands(name) for s in words(c) if s[0] == "ray"]
    assert [t[1] for t in told] == ["stop", "start", "stop", "start"]
    for _, what, *options in told:
        cli.commands[what].make_context(what, list(options))


def test_rays_commands_in_the_docs_are_as_ray_has_them() -> None:
    """Those of the page and of both files, and of humtune those that are submitted."""
    from ray.scripts.scripts import cli
    from typer.main import get_command

    from humtune.cli.main import app

    texts = [(HOUSE / name).read_text() for name in ("docs/cluster.md", *FILES)]
    told = re.findall(r"^(?:#   )?(ray [a-z][^&#\n]*)", "\n".join(texts), re.MULTILINE)
    assert len(told) > 15
    for command in told:
        _, what, *options = shlex.split(command)
        cli.commands[what].make_context(what, list(options))
        inner = options[-1].split() if what == "exec" else []
        if "humtune" in inner:
            what, *options = inner[inner.index("humtune") + 1 :]
            get_command(app).commands[what].make_context(what, list(options))


@pytest.mark.parametrize("name", FILES)
def test_what_it_installs_is_offered(name: str) -> None:
    project = tomllib.loads((HOUSE / "pyproject.toml").read_text())["project"]
    [pip] = [s for c in commands(name) for s in words(c) if s[0].endswith("/pip")]
    place, extras = re.fullmatch(r"(.*)\[(.*)\]", pip[-1]).groups()
    assert (place, pip[pip.index("-c") + 1]) == ("~/humtune", "~/humtune/constraints.txt")
    assert set(extras.split(",")) <= set(project["optional-dependencies"])


def test_the_packages_of_the_head_are_debians() -> None:
    wanted = {
        w
        for c in commands("cluster.yaml")
        for s in words(c)
        if "apt-get" in s and "install" in s
        for w in s[s.index("-y") + 1 :]
    }
    assert wanted == {"python3-venv", "postgresql"}
    if not shutil.which("apt-cache"):
        pytest.skip("no apt here to ask")
    for package in wanted:
        said = subprocess.run(["apt-cache", "show", package], capture_output=True, text=True).stdout
        if not said:
            pytest.skip("apt knows no packages here: apt-get update")
        assert f"Package: {package}\n" in said


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """AWS, as moto plays it in this process: it has a network, and nothing in it."""
    moto = pytest.importorskip("moto")
    monkeypatch.setenv("HOME", str(tmp_path))  # Ray keeps the key that it makes there
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "moto")
    with moto.mock_aws():
        yield


@pytest.mark.slow
def test_on_aws_nothing_is_open_but_ssh_and_workers_are_spot(aws: None) -> None:
    """What Ray really asks of AWS for it: the rules of the security group, and the worker that it starts."""
    import boto3
    from ray.autoscaler._private.aws.config import bootstrap_aws
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
    from ray.autoscaler._private.util import prepare_config

    asked = config("cluster.yaml")
    iam = boto3.client("iam", region_name=asked["provider"]["region"])
    for profile in ("head", "worker"):
        iam.create_instance_profile(InstanceProfileName=asked["metadata"][profile]["Name"])
    made = bootstrap_aws(prepare_config(asked))
    ec2 = boto3.client("ec2", region_name=asked["provider"]["region"])
    groups = {g for t in made["available_node_types"].values() for g in t["node_config"]["SecurityGroupIds"]}
    rules = [
        rule
        for group in ec2.describe_security_groups(GroupIds=list(groups))["SecurityGroups"]
        for rule in group["IpPermissions"]
    ]
    open_to_all = [(r.get("FromPort"), r.get("ToPort"), r["IpProtocol"]) for r in rules if r["IpRanges"]]
    assert open_to_all == [(22, 22, "tcp")]
    assert all({p["GroupId"] for p in r["UserIdGroupPairs"]} <= groups and not r["Ipv6Ranges"] for r in rules)

    node = dict(made["available_node_types"]["gpu_worker"]["node_config"])
    node["ImageId"] = ec2.describe_images()["Images"][0]["ImageId"]  # moto knows no deep learning images
    provider = AWSNodeProvider(made["provider"], made["cluster_name"])
    provider.create_node(node, {}, 1)
    [started] = [i for r in ec2.describe_instances()["Reservations"] for i in r["Instances"]]
    assert started["InstanceType"] == asked["metadata"]["gpu"]
    assert started["InstanceLifecycle"] == "spot"
    assert started["IamInstanceProfile"]["Arn"].endswith("/humtune-worker")


def test_the_head_copies_the_recordings_once(tmp_path: Path) -> None:
    """The command itself, against an S3 server."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        keys = {"AWS_ACCESS_KEY_ID": "moto", "AWS_SECRET_ACCESS_KEY": "moto"}
        url = f"http://{host}:{port}"
        s3 = boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="moto",
            aws_secret_access_key="moto",
        )
        s3.create_bucket(Bucket="my-bucket")
        s3.put_object(Bucket="my-bucket", Key="recordings/dev_data/fan/train/a.wav", Body=b"sound")
        (tmp_path / "venv").symlink_to(sys.prefix)
        env = {**os.environ, **keys, "HOME": str(tmp_path), "AWS_ENDPOINT_URL": url}
        for body in (b"sound", b"another"):
            s3.put_object(Bucket="my-bucket", Key="recordings/dev_data/fan/train/a.wav", Body=body)
            command = config("cluster.yaml")["metadata"]["recordings"]
            subprocess.run(["bash", "-c", command], cwd=tmp_path, env=env, check=True, timeout=120)
            assert (tmp_path / "recordings/dev_data/fan/train/a.wav").read_bytes() == b"sound"
        assert not (tmp_path / "recordings.part").exists()
    finally:
        server.stop()
