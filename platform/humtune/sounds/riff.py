"""Wav files that hold more sound than their header promises: a recorder lost power, a stream was cut off."""

import io
import os
import struct
from pathlib import Path
from typing import BinaryIO

UNFINISHED = 0x7FFF_0000  # data sizes from here on are what a stream's writer puts for "unknown"

_ORDERS = {b"RIFF": "<", b"RIFX": ">", b"RF64": "<"}
_LONG = 0xFFFF_FFFF  # in an RF64 file: the size stands in its chunk ds64
_LEAST = 4_096  # bytes behind the sound that may be sound as well; fewer are what some program left there
_TAGS = (b"TAG", b"ID3", b"APETAGEX")  # of music players, behind all chunks
_CHUNKS = frozenset(
    (b"LIST", b"INFO", b"id3 ", b"bext", b"cue ", b"fact", b"smpl", b"inst", b"iXML", b"PEAK")
)
_MOST = 1_000  # chunks before the sound


def longer_sizes(path: Path) -> dict[int, bytes]:
    """What a wav file's sizes should say where more sound lies behind what they promise: place -> bytes.

    Empty where the header is right, or the file no wav. What lies behind is sound unless it is chunks (LIST,
    id3, bext, cue …), a player's tag, zeros alone, or next to nothing. OSError where it can't be read.
    """
    with path.open("rb") as file:
        magic, form = struct.unpack("4s4x4s", file.read(12).ljust(12, b"\0"))
        order = _ORDERS.get(magic)
        if order is None or form != b"WAVE":
            return {}
        length, ds64 = os.fstat(file.fileno()).st_size, None
        for _ in range(_MOST):
            place = file.tell()
            name, size = struct.unpack(f"{order}4sI", file.read(8).ljust(8, b"\0"))
            begin = place + 8
            if name == b"data":
                field, width = place + 4, "I"
                if ds64 is not None and size == _LONG:
                    field, width = ds64 + 8, "Q"
                    file.seek(field)
                    (size,) = struct.unpack("<Q", file.read(8).ljust(8, b"\0"))
                elif size >= UNFINISHED:
                    return {}
                if not _is_sound(file, order, begin + size, length, promised=size):
                    return {}
                whole = length - begin if width == "Q" else min(length - begin, _LONG)
                return {field: struct.pack(order + width, whole)}
            if name == b"ds64":
                ds64 = begin
            if not _is_name(name) or begin + size >= length:
                return {}
            file.seek(begin + size + size % 2)
    return {}


class Mended(io.RawIOBase):
    """A file as it would be with other bytes in some places."""

    def __init__(self, path: Path, bytes_at: dict[int, bytes]) -> None:
        self._file, self._bytes_at = path.open("rb", buffering=0), bytes_at

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of the file itself."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """As of the file itself."""
        return self._file.tell()

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]
        """Bytes of the file, and the others in their places."""
        place, view = self._file.tell(), memoryview(buffer).cast("B")
        count = self._file.readinto(view) or 0
        for start, content in self._bytes_at.items():
            for at, byte in enumerate(content, start - place):
                if 0 <= at < count:
                    view[at] = byte
        return count

    def close(self) -> None:
        """Close the file itself too."""
        self._file.close()
        super().close()


def _is_sound(file: BinaryIO, order: str, end: int, length: int, *, promised: int) -> bool:
    """Whether what lies behind the promised sound, from `end` on, is sound too."""
    if length - end < (_LEAST if promised else 1):
        return False
    for place in (end, end + end % 2):
        file.seek(place)
        head = file.read(8)
        name, size = struct.unpack(f"{order}4sI", head.ljust(8, b"\0"))
        if name in _CHUNKS or (_is_name(name) and place + 8 + size <= length + 1) or head.startswith(_TAGS):
            return False
    file.seek(end)
    return any(block.count(0) < len(block) for block in iter(lambda: file.read(1 << 20), b""))


def _is_name(name: bytes) -> bool:
    return all(0x20 <= byte < 0x7F for byte in name)
