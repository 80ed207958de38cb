"""Bring an archive here: resumed where it broke off, and checked before it has its name."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pooch
import requests

from humtune.errors import HumtuneError, naming
from humtune.sounds.download.zenodo import TIMEOUT, Archive, unreachable
from humtune.sounds.parallel import byte_progress

_PIECE = 1 << 16  # bytes; what a broken connection loses at most
_PATIENCE = 5  # breaks in a row without a byte gained
_PAUSE = 2.0  # seconds after a break


def part_of(archive: Archive, folder: Path) -> Path:
    """Where an unfinished transfer is kept."""
    return folder / f"{archive.name}.part"


def download(archive: Archive, folder: Path, session: requests.Session) -> Path:
    """The archive in a folder, transferred as far as it is not there yet.

    HumtuneError where it does not come whole; what has not the record's checksum is removed.
    """
    pooch.get_logger().setLevel("WARNING")
    part = part_of(archive, folder)
    for orphan in folder.glob("tmp????????"):  # pooch's own, from a process that was killed
        orphan.unlink()
    with byte_progress(archive.name, total=archive.size) as show:
        try:
            path = pooch.retrieve(
                archive.url,
                known_hash=archive.checksum,
                fname=archive.name,
                path=folder,
                downloader=Resuming(part, archive.size, session, show),
            )
        except requests.RequestException as error:
            raise unreachable(archive.url, error) from error
        except ValueError as error:
            part.unlink(missing_ok=True)
            raise HumtuneError(
                f"{archive.url}: what came is not what the record describes (expected {archive.checksum}); "
                "it was removed, the same command fetches it anew"
            ) from error
    part.unlink(missing_ok=True)
    return Path(path)


class Resuming:
    """A downloader for pooch that fills a .part file and goes on with one that is there (HTTP Range)."""

    def __init__(self, part: Path, size: int, session: requests.Session, show: Callable[[int], None]) -> None:
        self.part, self.size, self.session, self.show = part, size, session, show

    def __call__(self, url: str, output_file: Any, pooch: Any, check_only: bool = False) -> None:
        """Transfer all of the url's bytes to output_file, a path."""
        self.part.touch()
        if self._have > self.size:
            self.part.unlink()
            self.part.touch()
        breaks = 0
        while (had := self._have) < self.size:
            try:
                self._go_on(url, had)
                broken: requests.RequestException = requests.ConnectionError("the transfer ended early")
            except (
                requests.ConnectionError,
                requests.Timeout,
                requests.exceptions.ChunkedEncodingError,
            ) as e:
                broken = e
            if self._have < self.size:
                breaks = 0 if self._have > had else breaks + 1
                if breaks >= _PATIENCE:
                    raise broken
                time.sleep(_PAUSE)
        output = Path(output_file)
        output.unlink(missing_ok=True)
        try:
            output.hardlink_to(self.part)  # both names until it is checked: a kill meanwhile costs nothing
        except OSError:  # a file system without links
            self.part.replace(output)

    @property
    def _have(self) -> int:
        return self.part.stat().st_size

    def _go_on(self, url: str, had: int) -> None:
        """One request: append what is missing, or begin anew where the server sends the whole."""
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={had}-"} if had else {})
        with self.session.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            response.raise_for_status()
            goes_on = response.headers.get("Content-Range", "").startswith(f"bytes {had}-")
            done = had if response.status_code == requests.codes.partial_content and goes_on else 0
            self.show(done)
            with naming(self.part), self.part.open("ab" if done else "wb") as stream:
                for piece in response.iter_content(_PIECE):
                    stream.write(piece)
                    done += len(piece)
                    self.show(done)
                    if done > self.size:  # space was asked for no more; the checksum will tell
                        return
