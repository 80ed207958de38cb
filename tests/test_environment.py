"""What the environment lacks, has wrong or is set to: the table in docs, a home, streams, folders."""

import ast
import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from humtune import environment
from humtune.environment import DEFAULTS, NAMES, prepare, set_defaults
from humtune.errors import HumtuneError, UsageError, in_a_line, naming
from humtune.search.connection import check_temporary
from humtune.storage import Storage

HOUSE = Path(__file__).parents[1]
VARIABLE = re.compile(r"(HUMTUNE|RAY|TUNE|MLFLOW|OMP|MKL|CUDA|TORCH\w*|AWS|XDG|PYTHON\w*|MPL\w*)_[A-Z0-9_]+")
READERS = {"get", "setdefault", "pop", "getenv"}


def named(tree: ast.AST) -> set[str]:
    """The variables that a module names: by their prefix, or as what is read from os.environ."""
    found = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and VARIABLE.fullmatch(node.value)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Attribute(attr="environ"), attr=attr), args=[first, *_]
            ):
                key = first if attr in READERS else None
            case ast.Subscript(value=ast.Attribute(attr="environ"), slice=key):
                pass
            case ast.Compare(left=key, comparators=[ast.Attribute(attr="environ")]):
                pass
            case _:
                continue
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            found.add(key.value)
    return found


def test_the_page_lists_every_variable_that_the_code_names() -> None:
    rows = [
        row
        for row in (HOUSE / "docs/environment.md").read_text(encoding="utf-8").splitlines()
        if row[:3] == "| `"
    ]
    told = {name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])}
    trees = [ast.parse(p.read_text(encoding="utf-8")) for p in (HOUSE / "platform").rglob("*.py")]
    code = set().union(*map(named, trees), NAMES)
    assert {"HUMTUNE_STORAGE", "TUNE_DISABLE_SIGINT_HANDLER", "MPLCONFIGDIR", *DEFAULTS} <= code
    assert code - told == set()
    assert "](environment.md)" in (HOUSE / "docs/README.md").read_text(encoding="utf-8")
    for name, value in DEFAULTS.items():
        [row] = [row for row in rows if f"`{name}`" in row.split("|")[1]]
        assert row.split("|")[2].strip() == f"default `{value}`"


def test_what_a_user_has_set_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in DEFAULTS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "1")
    set_defaults()
    assert {name: os.environ[name] for name in DEFAULTS} == {**DEFAULTS, "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "1"}


@pytest.mark.integration
@pytest.mark.parametrize(
    "code",
    [
        "from humtune import Model",
        "from humtune.cli.main import prepare; prepare(); import humtune.runtime.scorer",
    ],
)
def test_onnxruntime_keeps_no_number_of_the_computer(code: str, tmp_path: Path) -> None:
    env = {k: v for k, v in os.environ.items() if k not in DEFAULTS and k != "CI"}
    env["XDG_CACHE_HOME"] = str(tmp_path)
    code += "; import sys; assert 'onnxruntime' in sys.modules"
    subprocess.run([sys.executable, "-c", code], env=env, check=True, timeout=120)
    assert [path.name for path in tmp_path.rglob("*") if path.name in ("deviceid", "onnxruntime.db")] == []


NO_HOOK = """
import sys
sys.argv = ["humtune", "version"]
from humtune.cli.main import main
try:
    main()
except SystemExit:
    pass
from ray._private import ray_constants
print(ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV)
"""


@pytest.mark.integration
@pytest.mark.parametrize(("said", "hook"), [(None, "False"), ("1", "True")])
def test_ray_makes_no_environment_out_of_uv_runs_folder(said: str | None, hook: str) -> None:
    env = {k: v for k, v in os.environ.items() if k not in DEFAULTS}
    env |= {"RAY_ENABLE_UV_RUN_RUNTIME_ENV": said} if said else {}
    done = subprocess.run(
        [sys.executable, "-c", NO_HOOK], env=env, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.splitlines()[-1] == hook, done.stderr


@pytest.mark.parametrize(
    ("set_", "gets"),
    [
        ({}, None),
        ({"http_proxy": "http://p:1"}, "localhost,127.0.0.1,::1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "a.example"}, None),
    ],
)
def test_a_proxy_is_asked_for_nothing_here(
    monkeypatch: pytest.MonkeyPatch, set_: dict[str, str], gets: str | None
) -> None:
    kept = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    monkeypatch.setattr(os, "environ", kept | set_)
    environment._reach_servers_here()
    assert os.environ.get("no_proxy") == gets


def test_a_folder_that_is_gone_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(UsageError, match="the folder that you are in is gone"):
        prepare()


@pytest.mark.integration
@pytest.mark.skipif(os.getuid() != 0, reason="only root can become a user whom the computer doesn't know")
def test_a_user_whom_the_computer_does_not_know_has_a_name_and_a_home() -> None:
    code = (
        "from humtune.environment import prepare; prepare(); import getpass, os; from pathlib import Path; "
        "print(getpass.getuser(), Path.home(), os.access(Path.home(), os.W_OK)); import matplotlib.pyplot"
    )
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(HOUSE / "platform")}
    stranger = ["setpriv", "--reuid=12345", "--clear-groups", sys.executable]
    if subprocess.run([*stranger, "-c", "import getpass, numpy"], cwd="/", capture_output=True).returncode:
        pytest.skip("this Python lies where only root can read it")
    line = [*stranger, "-W", "error", "-c", code]
    done = subprocess.run(line, cwd="/", env=env, capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["uid12345", "/tmp/humtune-12345", "True"], done.stderr
    assert done.stderr == ""


@pytest.mark.integration
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_any_text_can_be_written_to_any_terminal(encoding: str) -> None:
    code = (
        "from humtune.environment import prepare; prepare(); from rich.console import Console; "
        "from rich.table import Table; t = Table('Ω', '±'); t.add_row('σ', 'a\\udc80 日'); Console().print(t)"
    )
    env = {**os.environ, "PYTHONIOENCODING": encoding, "COLUMNS": "40"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert b"Omega" in done.stdout
    assert b"\\udc80 \\u65e5" in done.stdout


@pytest.mark.integration
def test_a_reader_that_has_enough_ends_the_command_quietly(tmp_path: Path) -> None:
    line = f"{sys.executable} -m humtune.cli.main runs --json --storage runs | true"
    env = {**os.environ, "PYTHONPATH": str(HOUSE / "platform"), "PYTHONUNBUFFERED": "1"}
    done = subprocess.run(
        ["bash", "-c", line], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""


def test_a_folder_that_ray_could_not_use_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    long = tmp_path / ("x" * 60)
    long.mkdir()
    wrong = {str(tmp_path / "no"): "there is no such folder", str(long): "want a path of 39 bytes at most"}
    for folder, said in wrong.items():
        monkeypatch.setenv("TMPDIR", folder)
        with pytest.raises(UsageError, match=f"^TMPDIR={re.escape(folder)}: .*{said}.*set RAY_TMPDIR to"):
            check_temporary(None)
        check_temporary("head:6379")
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    check_temporary(None)
    monkeypatch.setattr("humtune.search.connection.ROOM", 1 << 62)
    with pytest.raises(UsageError, match="MiB are free, Ray wants"):
        check_temporary(None)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_an_error_of_a_disk_names_the_file_and_the_mend(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="x/y") as caught:
        Storage(tmp_path).write("x/y", b"")
    told = in_a_line(caught.value)
    assert told.startswith(f"{tmp_path}/x/y: {os.strerror(number)}; ")
    assert not any((tmp_path / "x").iterdir())


def test_a_name_that_an_error_has_stays() -> None:
    with pytest.raises(OSError, match="theirs") as caught, naming("ours"):
        raise OSError(errno.EACCES, "no", "theirs")
    assert in_a_line(caught.value) == "theirs: no"
    with pytest.raises(HumtuneError), naming("ours"):
        raise HumtuneError("no error of the system")
