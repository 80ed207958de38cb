import io
import stat
import zipfile
from pathlib import Path

import pytest
from downloads import files

from humtune.errors import HumtuneError
from humtune.sounds.download import unpack as module
from humtune.sounds.download.unpack import settle, unpack

MEMBERS = {
    "fan/": b"",
    "fan/train/section_00_source_train_normal_0000.wav": b"train",
    "fan/test/section_00_source_test_normal_0000.wav": b"test",
    "fan/attributes_00.csv": b"file_name,d1p,d1v\n",
}


def zipped(path: Path, members: dict[str, bytes], *, link: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as content:
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            kind = stat.S_IFLNK if name == link else stat.S_IFDIR if name.endswith("/") else stat.S_IFREG
            info.external_attr = (kind | 0o755) << 16
            content.writestr(info, data, zipfile.ZIP_DEFLATED)
    return path


@pytest.mark.parametrize(
    "hostile",
    [
        "../outside.wav",
        "fan/train/../../../outside.wav",
        "/tmp/humtune-outside.wav",
        "fan\\..\\..\\outside.wav",
        "C:\\outside.wav",
    ],
)
def test_a_member_that_leads_outside_refuses_the_whole_archive(tmp_path: Path, hostile: str):
    archive = zipped(tmp_path / "dev_fan.zip", {**MEMBERS, hostile: b"evil"})
    root = tmp_path / "data" / "dev_data"
    with pytest.raises(HumtuneError, match=r"dev_fan\.zip: refused, its member .* leads out of its folder"):
        unpack(archive, root, "fan")
    assert files(tmp_path) == {"dev_fan.zip"}
    assert not Path("/tmp/humtune-outside.wav").exists()
    assert list(root.iterdir()) == []


def test_a_link_refuses_the_whole_archive(tmp_path: Path):
    outside = tmp_path / "outside"
    outside.mkdir()
    members = {"fan/train": str(outside).encode(), **MEMBERS}
    archive = zipped(tmp_path / "dev_fan.zip", members, link="fan/train")
    with pytest.raises(HumtuneError, match="its member 'fan/train' is a link"):
        unpack(archive, tmp_path / "dev_data", "fan")
    assert files(tmp_path) == {"dev_fan.zip"}


def test_the_same_member_twice_leaves_nothing(tmp_path: Path):
    twice = {**MEMBERS, "top/fan/test/section_00_source_test_normal_0000.wav": b"another"}
    archive = zipped(tmp_path / "dev_fan.zip", twice)
    with pytest.raises(HumtuneError, match=r"holds fan/test/section_00_source_test_normal_0000.wav twice"):
        unpack(archive, tmp_path / "dev_data", "fan")
    assert files(tmp_path) == {"dev_fan.zip"}


def test_a_damaged_archive_leaves_nothing(tmp_path: Path):
    archive = zipped(tmp_path / "dev_fan.zip", {**MEMBERS, "fan/train/x.wav": bytes(range(256)) * 400})
    raw = bytearray(archive.read_bytes())
    at = raw.index(b"fan/train/x.wav") + 40
    raw[at : at + 20] = bytes(20)
    archive.write_bytes(raw)
    with pytest.raises(HumtuneError, match=r"dev_fan\.zip: can't be unpacked \(.*; delete it"):
        unpack(archive, tmp_path / "dev_data", "fan")
    archive.write_bytes(b"<html>no zip</html>")
    with pytest.raises(HumtuneError, match="can't be unpacked"):
        unpack(archive, tmp_path / "dev_data", "fan")
    assert files(tmp_path) == {"dev_fan.zip"}


def test_an_archive_without_the_machine_is_named(tmp_path: Path):
    archive = zipped(tmp_path / "dev_valve.zip", MEMBERS)
    with pytest.raises(HumtuneError, match=r"dev_valve\.zip: holds no recordings as valve/train"):
        unpack(archive, tmp_path / "dev_data", "valve")


def test_an_archive_that_swells_past_the_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    archive = zipped(tmp_path / "dev_fan.zip", {**MEMBERS, "fan/train/x.wav": bytes(4_000_000)})
    assert archive.stat().st_size < 100_000
    usage = module.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage._replace(free=1_000_000))
    with pytest.raises(HumtuneError, match=r"unpacked it takes 4\.0 MB, but 1\.0 MB are free"):
        unpack(archive, tmp_path / "dev_data", "fan")
    assert files(tmp_path) == {"dev_fan.zip"}


@pytest.mark.parametrize("top", ["", "dev_data/", "some/folders/"])
def test_folders_on_top_are_left_out(tmp_path: Path, top: str):
    others = {"README.md": b"", "__MACOSX/fan/train/._x.wav": b"", f"{top}fan/train/.DS_Store": b""}
    archive = zipped(tmp_path / "dev_fan.zip", {top + name: data for name, data in MEMBERS.items()} | others)
    unpack(archive, tmp_path / "dev_data", "fan")
    expected = {name for name in MEMBERS if not name.endswith("/")}
    assert files(tmp_path / "dev_data") == expected
    assert (tmp_path / "dev_data" / "fan/attributes_00.csv").read_bytes() == b"file_name,d1p,d1v\n"


def test_what_is_supplemental_comes_along_and_capitals_make_no_difference(tmp_path: Path):
    members = {
        "fan/Train/a.wav": b"a",
        "fan/supplemental/section_00_machine_0001_.wav": b"b",
        "fan/more/c.wav": b"c",
    }
    unpack(zipped(tmp_path / "dev_fan.zip", members), tmp_path / "dev_data", "fan")
    assert files(tmp_path / "dev_data") == set(members) - {"fan/more/c.wav"}


def test_the_halves_of_a_machine_join_and_keep_what_is_there(tmp_path: Path):
    root = tmp_path / "eval_data"
    train = {"fan/train/a.wav": b"a", "fan/attributes_03.csv": b"train"}
    test = {"fan/test/b.wav": b"b", "fan/attributes_03.csv": b"test", "fan/train/a.wav": b"other"}
    unpack(zipped(tmp_path / "train.zip", train), root, "fan")
    unpack(zipped(tmp_path / "test.zip", test), root, "fan")
    assert files(root) == {"fan/train/a.wav", "fan/test/b.wav", "fan/attributes_03.csv"}
    assert (root / "fan/attributes_03.csv").read_bytes() == b"train"
    assert (root / "fan/train/a.wav").read_bytes() == b"a"


def test_unpacking_that_is_interrupted_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    archive, root = zipped(tmp_path / "dev_fan.zip", MEMBERS), tmp_path / "dev_data"

    def interrupted(stream: io.BufferedIOBase, file: io.BufferedIOBase, size: int) -> None:
        file.write(stream.read(2))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module.shutil, "copyfileobj", interrupted)
        with pytest.raises(KeyboardInterrupt):
            unpack(archive, root, "fan")
    assert files(root) == set()
    killed = root / ".unpacking-dev_fan" / "train"  # no clean-up after a SIGKILL
    killed.mkdir(parents=True)
    (killed / "half.wav").write_bytes(b"half")
    unpack(archive, root, "fan")
    assert files(root) == {name for name in MEMBERS if not name.endswith("/")}


def test_a_move_that_is_interrupted_is_finished_without_the_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    root = tmp_path / "eval_data"
    unpack(zipped(tmp_path / "train.zip", {"fan/train/a.wav": b"a"}), root, "fan")
    test = zipped(tmp_path / "test.zip", {"fan/source_test/b.wav": b"b", "fan/target_test/c.wav": b"c"})
    rename, calls = Path.rename, []

    def stop_at_third(self: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", stop_at_third)
        with pytest.raises(KeyboardInterrupt):
            unpack(test, root, "fan")
    assert not (root / "fan/target_test").exists()
    test.unlink()
    settle(root, "fan", Path("test.zip"))
    assert files(root) == {"fan/train/a.wav", "fan/source_test/b.wav", "fan/target_test/c.wav"}
