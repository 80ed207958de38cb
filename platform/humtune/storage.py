"""One folder for everything a search keeps: local, or any place pyarrow can reach (s3://…, gs://…)."""

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from pyarrow import fs

from humtune.drafts import PREFIX, discard, drafted, write_whole
from humtune.errors import UsageError, naming
from humtune.names import is_text


class Storage:
    """Small files under one root, each written whole or not at all.

    A local write goes to a temporary file beside its place and is renamed over it; object stores make a file
    visible only when it is complete. Names are relative to the root, with forward slashes.
    """

    def __init__(self, uri: str | Path) -> None:
        self.uri = str(uri)
        self.is_local = "://" not in self.uri or self.uri.startswith("file://")
        if not is_text(self.uri):  # pyarrow, MLflow and Ray can't name such a folder
            raise UsageError(f"storage {self.uri}: a folder's name that is not UTF-8; name another")
        if self.is_local:
            folder = Path(self.uri.removeprefix("file://"))
            if "://" in self.uri and not folder.exists():
                folder = Path(unquote(str(folder)))
            self.uri = str(folder.expanduser().resolve())
        try:
            self._fs, self._root = fs.FileSystem.from_uri(self.uri)
        except (ValueError, OSError) as error:
            raise UsageError(f"storage {self.uri!r}: {error}") from error
        if not self.is_local and not self.uri.partition("://")[2].strip("/"):
            raise UsageError(f"storage {self.uri!r} names no bucket or folder")
        if self.is_local and Path(self._root).exists() and not Path(self._root).is_dir():
            raise UsageError(f"storage {self.uri} is a file; it wants a folder")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Storage) and self.uri == other.uri

    def __hash__(self) -> int:
        return hash(self.uri)

    def __reduce__(self) -> tuple[type["Storage"], tuple[str]]:
        return Storage, (self.uri,)

    @property
    def option(self) -> str:
        """What a next command's --storage must be to find it again; "" where it is the usual one."""
        return "" if self == usual() else self.uri

    def check(self) -> None:
        """Raise a UsageError where a storage on S3 can't be reached, or its bucket isn't there."""
        if not isinstance(self._fs, fs.S3FileSystem):
            return
        bucket = self._root.partition("/")[0]
        try:
            found = self._fs.get_file_info(bucket)
        except OSError as error:
            raise UsageError(f"storage {self.uri}: {' '.join(str(error).split())}") from error
        if found.type == fs.FileType.NotFound:
            raise UsageError(f"storage {self.uri}: there is no bucket {bucket!r}; make it, or name another")

    def path(self, name: str) -> Path:
        """The local path of a file; only where the storage is a local (or mounted) folder."""
        if not self.is_local:
            raise UsageError(f"storage {self.uri} is not a local folder")
        return Path(self._root) / name

    def read(self, name: str) -> bytes:
        """The whole file; FileNotFoundError where there is none."""
        with naming(f"{self.uri}/{name}"), self._fs.open_input_stream(f"{self._root}/{name}") as stream:
            return bytes(stream.read())

    def write(self, name: str, data: bytes) -> None:
        """Write the whole file, atomically, making its folder."""
        if self.is_local:
            write_whole(self.path(name), data)
        else:
            with naming(f"{self.uri}/{name}"), self._sink(f"{self._root}/{name}") as stream:
                stream.write(data)

    def exists(self, name: str) -> bool:
        """Whether there is such a file or folder."""
        info = self._fs.get_file_info(f"{self._root}/{name}")
        return bool(info.type != fs.FileType.NotFound)

    def list(self, folder: str = "") -> list[str]:
        """Names right below a folder, sorted, drafts left out; none where the folder is missing."""
        if self.is_local:  # pyarrow stumbles over a name that is not UTF-8, whoever put it there
            place = self.path(folder)
            found = [entry.name for entry in place.iterdir()] if place.is_dir() else []
            return sorted(name for name in found if name[0] != "." and is_text(name))
        selector = fs.FileSelector(f"{self._root}/{folder}", allow_not_found=True)
        return sorted(i.base_name for i in self._fs.get_file_info(selector) if i.base_name[0] != ".")

    def stamps(self, folder: str) -> dict[str, tuple[int, int]]:
        """Modification time (ns) and size of every file below a folder, by name; a single listing."""
        selector = fs.FileSelector(f"{self._root}/{folder}", allow_not_found=True, recursive=True)
        skip = len(f"{self._root}/{folder}/")
        return {
            info.path[skip:]: (info.mtime_ns or 0, info.size)
            for info in self._fs.get_file_info(selector)
            if info.is_file
        }

    def put_folder(self, name: str, folder: Path) -> None:
        """Bring a flat local folder to its place, whole: here by its name. What is there stays."""
        if not self.is_local:
            for file in sorted(folder.iterdir()):
                self._copy(str(file), f"{self._root}/{name}/{file.name}", upload=True)
            return
        target = self.path(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            folder.rename(target)
        except OSError:
            if not target.exists():
                raise

    def fetch_folder(self, name: str, target: Path) -> None:
        """Copy a flat folder to a local place, which appears when all of its files are there."""
        with drafted(target) as draft:
            for file in self.list(name):
                self._copy(f"{self._root}/{name}/{file}", str(draft / file), upload=False)
            draft.rename(target)

    def _copy(self, source: str, target: str, *, upload: bool) -> None:
        here = fs.LocalFileSystem()
        with (
            naming(target),
            (here if upload else self._fs).open_input_stream(source) as stream,
            self._sink(target) if upload else here.open_output_stream(target) as sink,
        ):
            shutil.copyfileobj(stream, sink, 1 << 24)

    def _sink(self, path: str) -> Any:
        """A stream into a distant file; its folder is made where one is missed: object stores have none."""
        try:
            return self._fs.open_output_stream(path)
        except FileNotFoundError:
            self._fs.create_dir(path.rpartition("/")[0], recursive=True)
            return self._fs.open_output_stream(path)

    def sweep(self, folder: str) -> None:
        """Remove every draft right below a folder, on whatever computer it was made.

        For the only one who may write there, as who has taken over a trial; `drafts.sweep` is for all others.
        """
        if self.is_local:
            for draft in self.path(folder).glob(f"{PREFIX}*"):
                discard(draft)

    def delete_empty(self, folder: str) -> None:
        """Remove a local folder that holds nothing; object stores have no folders but for their files."""
        if self.is_local:
            with suppress(OSError):
                self.path(folder).rmdir()

    def delete(self, name: str) -> None:
        """Remove a file; nothing happens where there is none."""
        with suppress(FileNotFoundError):
            self._fs.delete_file(f"{self._root}/{name}")


def usual() -> Storage:
    """The storage where nobody names one: HUMTUNE_STORAGE, else humtune-runs in the folder one is in."""
    return Storage(os.environ.get("HUMTUNE_STORAGE", "humtune-runs"))
