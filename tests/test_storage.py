"""Storage: files are written whole or not at all, here and far away."""

import os
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fsspec
import pytest
from pyarrow import fs

from humtune.errors import UsageError
from humtune.storage import Storage


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> Storage:
    """A storage in an object store: memory behind pyarrow's file system interface."""
    store = fs.PyFileSystem(fs.FSSpecHandler(fsspec.filesystem("memory", skip_instance_cache=True)))
    store.delete_dir_contents("/", accept_root_dir=True)

    def from_uri(uri: str) -> tuple[Any, str]:
        return (store, uri[5:]) if uri.startswith("s3://") else fs.FileSystem.from_uri(uri)

    names = {**vars(fs), "FileSystem": SimpleNamespace(from_uri=from_uri)}
    monkeypatch.setattr("humtune.storage.fs", SimpleNamespace(**names))
    return Storage("s3://bucket/runs")


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The address of an S3 server, moto's, with a bucket."""
    boto3, moto = pytest.importorskip("boto3"), pytest.importorskip("moto.server")
    running = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    keys = {"aws_access_key_id": "moto", "aws_secret_access_key": "moto", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=f"http://{host}:{port}", **keys).create_bucket(Bucket="bucket")
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def s3(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Storage:
    """A storage on that server, reached as the environment says."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "moto")
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    return Storage(f"s3://bucket/{tmp_path.name}")


@pytest.fixture(params=["near", "far", "folders", pytest.param("s3", marks=pytest.mark.integration)])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """A local folder, an object store, a distant store that has real folders, and S3."""
    if request.param in ("far", "s3"):
        return request.getfixturevalue(request.param)
    return Storage(tmp_path / "runs" if request.param == "near" else "mock://host/runs")


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


# --- what can go wrong


@pytest.mark.parametrize("uri", ["ftp://host/runs", "://", "s3//:x://", "gopher://x"])
def test_an_address_that_nobody_knows_is_told(uri: str) -> None:
    with pytest.raises(UsageError, match=r"^storage "):
        Storage(uri)


@pytest.mark.parametrize("uri", ["s3://", "s3:///", "gs://"])
def test_an_address_without_a_bucket_is_told(uri: str) -> None:
    with pytest.raises(UsageError, match=uri):
        Storage(uri)


def test_a_file_is_no_storage(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(UsageError, match=r"runs is a file; it wants a folder"):
        Storage(tmp_path / "runs")


def test_a_missing_file_is_told(storage: Storage) -> None:
    with pytest.raises(FileNotFoundError):
        storage.read("plan.json")
    storage.write("a/plan.json", b"")
    with pytest.raises(FileNotFoundError):
        storage.read("a/other.json")


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
@pytest.mark.parametrize("broken", ["os.fsync", "pathlib.Path.replace"])
def test_a_write_that_breaks_leaves_the_old_file_and_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, error: BaseException
) -> None:
    storage = Storage(tmp_path)
    storage.write("a/record.json", b"old")

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(broken, fail)
    with pytest.raises(type(error)):
        storage.write("a/record.json", b"new")
    with pytest.raises(type(error)):
        storage.write("a/other.json", b"new")
    assert files(tmp_path) == ["a/record.json"]
    assert storage.read("a/record.json") == b"old"


def test_a_killed_writer_leaves_a_whole_file(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    storage.write("record.json", b"old" * 1000)
    child = os.fork()
    if child == 0:  # dies between the bytes and the name, as by SIGKILL
        os.fsync = lambda _: os._exit(9)  # type: ignore[assignment]
        storage.write("record.json", b"new" * 1000)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert len(files(tmp_path)) == 2  # with the draft, which nobody lists
    assert storage.list() == ["record.json"]
    assert storage.read("record.json") == b"old" * 1000


def test_many_writers_of_one_file_leave_one_of_their_files(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    contents = [bytes([65 + i]) * 200_000 for i in range(8)]
    seen: list[bytes] = []

    def write(content: bytes) -> None:
        for _ in range(5):
            storage.write("record.json", content)
            seen.append(storage.read("record.json"))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, contents))
    assert {*seen, storage.read("record.json")} <= set(contents)
    assert files(tmp_path) == ["record.json"]


def test_a_distant_storage_has_no_local_path(far: Storage) -> None:
    with pytest.raises(UsageError, match="not a local folder"):
        far.path("plan.json")


def test_deleting_what_another_process_deleted_is_no_error(storage: Storage) -> None:
    storage.delete("never/there")
    storage.write("a/b", b"1")
    storage.write("a/c", b"1")
    storage.delete("a/b")
    storage.delete("a/b")
    assert storage.list("a") == ["c"]


@pytest.mark.integration
def test_a_bucket_that_is_not_there_is_told(s3: Storage, tmp_path: Path) -> None:
    s3.check()
    Storage(tmp_path / "not yet").check()
    with pytest.raises(UsageError, match=r"storage s3://bukket/runs: there is no bucket 'bukket'; make it"):
        Storage("s3://bukket/runs").check()


@pytest.mark.integration
def test_a_server_that_does_not_answer_is_told(s3: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(UsageError, match=r"storage s3://bucket/runs: .*127\.0\.0\.1 port 9"):
        Storage("s3://bucket/runs").check()


# --- what it does


def test_what_was_written_is_read(storage: Storage) -> None:
    storage.write("plan.json", b"\x00\xffbytes")
    storage.write("trials/fan-00000/record.json", b"")
    storage.write("plan.json", b"shorter")
    assert storage.read("plan.json") == b"shorter"
    assert storage.read("trials/fan-00000/record.json") == b""


def test_names_below_a_folder_are_sorted_and_hidden_ones_left_out(storage: Storage) -> None:
    assert storage.list() == []
    assert storage.list("trials") == []
    for name in ("trials/b/x", "trials/a/x", "trials/a b/x", "trials/.draft-1", "plan.json"):
        storage.write(name, b"1")
    assert storage.list() == ["plan.json", "trials"]
    assert storage.list("trials") == ["a", "a b", "b"]
    assert storage.list("trials/a") == ["x"]


def test_files_and_folders_exist(storage: Storage) -> None:
    storage.write("trials/a/x", b"1")
    assert storage.exists("trials/a/x")
    assert storage.exists("trials/a")
    assert not storage.exists("trials/a/y")
    assert not storage.exists("trials/b/x")


@pytest.mark.parametrize("word", ["runs", "with blank", "größer", "100%20", "a#b?c"])
def test_any_folder_name_will_do(tmp_path: Path, word: str) -> None:
    storage = Storage(tmp_path / word)
    storage.write("a/b", b"1")
    assert (tmp_path / word / "a" / "b").read_bytes() == b"1"
    assert storage.list("a") == ["b"]
    assert storage.path("a/b") == tmp_path / word / "a" / "b"


def test_one_place_written_in_several_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    ways = ["runs", "./runs", "~/runs", f"file://{tmp_path}/runs", tmp_path / "runs", tmp_path / "x/../runs"]
    storages = [Storage(way) for way in ways]
    assert {s.uri for s in storages} == {str(tmp_path / "runs")}
    assert len(set(storages)) == 1  # so that what is cached by storage is found again
    assert storages[0] != Storage(tmp_path / "other")
    assert storages[0] != str(tmp_path / "runs")
    assert not (tmp_path / "runs").exists()  # looking at a storage makes nothing


def test_a_storage_travels_to_another_process(storage: Storage, request: pytest.FixtureRequest) -> None:
    there = pickle.loads(pickle.dumps(storage))
    assert there == storage
    assert (there.uri, there.is_local) == (storage.uri, storage.is_local)
    if storage.is_local:
        there.write("a", b"1")
        assert storage.read("a") == b"1"


def folder_with(place: Path, **content: bytes) -> Path:
    place.mkdir()
    for name, data in content.items():
        (place / name).write_bytes(data)
    return place


def test_a_folder_goes_there_and_back(storage: Storage, tmp_path: Path) -> None:
    storage.put_folder("banks/abc", folder_with(tmp_path / "draft", one=b"1", two=b"2" * 100_000))
    assert storage.list("banks/abc") == ["one", "two"]
    assert storage.read("banks/abc/two") == b"2" * 100_000
    storage.fetch_folder("banks/abc", tmp_path / "cache" / "abc")
    assert {p.name: p.read_bytes() for p in (tmp_path / "cache" / "abc").iterdir()} == {
        "one": b"1",
        "two": b"2" * 100_000,
    }
    assert files(tmp_path / "cache") == ["abc/one", "abc/two"]


def test_a_folder_that_is_there_stays(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "runs")
    storage.put_folder("banks/abc", folder_with(tmp_path / "first", one=b"1"))
    storage.put_folder("banks/abc", folder_with(tmp_path / "second", one=b"2"))
    assert storage.read("banks/abc/one") == b"1"
    assert files(tmp_path / "runs") == ["banks/abc/one"]  # nothing of the second lies about


def test_a_fetch_that_breaks_leaves_nothing(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.put_folder("banks/abc", folder_with(tmp_path / "draft", one=b"1", two=b"2"))
    whole: Callable[..., None] = Storage._copy

    def breaks(self: Storage, source: str, target: str, **upload: Any) -> None:
        if source.endswith("two"):
            raise OSError("connection lost")
        whole(self, source, target, **upload)

    monkeypatch.setattr(Storage, "_copy", breaks)
    with pytest.raises(OSError, match="connection lost"):
        storage.fetch_folder("banks/abc", tmp_path / "cache" / "abc")
    assert list((tmp_path / "cache").iterdir()) == []
