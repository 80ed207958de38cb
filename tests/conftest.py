"""What tests of several folders share."""

import os
import random
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from chromium import chromium
from searches import Bench, clip_table
from teams import Team

from humtune.storage import Storage

Run = Callable[..., tuple[int, str, str]]

FIRST = ("cluster", "integration", "tracking", "export")  # the longest, so that no process is idle at the end


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--shuffle", type=int, metavar="SEED", help="run files, and tests in them, in any order")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest files first, or the order of a seed; the tests of a file stay together."""
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    order = list(files)
    if (seed := config.getoption("shuffle")) is None:
        place = {folder: i for i, folder in enumerate(FIRST)}
        order.sort(key=lambda path: place.get(path.parent.name, len(place)))
    else:
        rng = random.Random(seed)
        rng.shuffle(order)
        for path in order:
            rng.shuffle(files[path])
    items[:] = [item for path in order for item in files[path]]


def pytest_configure() -> None:
    """One thread a process, and Ray's as good as others, for tests run side by side; nobody's own storage."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    os.environ.setdefault("RAY_worker_niceness", "0")
    for name in ("MLFLOW_TRACKING_URI", "HUMTUNE_STORAGE"):
        os.environ.pop(name, None)


@pytest.fixture(autouse=True)
def _no_mlflow_of_the_test_before() -> Iterator[None]:
    """MLflow writes the address that it is told into the environment, where the next test would find it."""
    yield
    os.environ.pop("MLFLOW_TRACKING_URI", None)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """A Chromium, where there is one."""
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real recordings and scores, which is no part of the project."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("HUMTUNE_REAL_DATA", beside))
    if not (folder / "dcase2023").is_dir():
        pytest.skip(f"no real recordings in {folder}; HUMTUNE_REAL_DATA names another folder")
    return folder


@pytest.fixture
def humtune(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command as a shell runs it, in an empty folder but in this process: exit code, output, errors."""
    from humtune.cli.main import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    # what a slow machine says of its imports is no answer; tests of those lines set it themselves
    monkeypatch.setattr("humtune.sounds.parallel._QUIET", 3600.0)

    def run(*words: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["humtune", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            sys.exit(main())
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Bitwise comparisons want one order of summation; tiny networks want no more threads anyway."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def ray_here() -> Iterator[None]:
    """One Ray for all searches of a file: it takes ten seconds to start, and computes while it is there."""
    import ray

    from humtune.search.connection import connect

    connect(None)
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh sqlite database of MLflow: made once, because its migrations take seconds."""
    from humtune.tracking.place import connect

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    connect(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def mlflow_ready(empty_database: Path) -> Callable[[Path], Path]:
    """Put an empty database into a storage, where a search would make it; the storage."""

    def put(storage: Path) -> Path:
        storage.mkdir(parents=True, exist_ok=True)
        shutil.copy(empty_database, storage / "mlflow.db")
        return storage

    return put


@pytest.fixture
def team(tmp_path: Path) -> Team:
    """Writes score files as a team of the challenge does."""
    return Team(tmp_path)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Makes searches by hand."""
    return Bench(Storage(tmp_path / "runs"))


@pytest.fixture
def make_clips() -> Callable[..., object]:
    """Makes the clips of such a search."""
    return clip_table
