"""Faults for a drill: the library of drill_faults.c, the page that tells it what to do, and a clock."""

import mmap
import os
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path

VARIABLE = "HUMTUNE_DRILL_PAGE"
_PAGE = struct.Struct("4qd472s512s")  # as in drill_faults.c
_CLOCK = 32  # bytes before the clock's offset

_SITE = f"""
import mmap, os, struct, time
with open(os.environ["{VARIABLE}"], "rb") as file:
    page = mmap.mmap(file.fileno(), 4096, access=mmap.ACCESS_READ)
true = time.time
time.time = lambda: true() + struct.unpack_from("d", page, {_CLOCK})[0]
"""


class Fault(IntEnum):
    """What becomes of a step; the numbers are those of drill_faults.c."""

    NONE = 0
    KILL = 1
    FULL = 2
    BROKEN = 3
    READ_ONLY = 4
    SLOW = 5


class Page:
    """What the drill and the processes that it watches share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / "page"
        if not path.exists():
            path.write_bytes(bytes(4096))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 4096)

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to be watched, and to have the page's clock."""
        return {
            VARIABLE: str(self.folder / "page"),
            "LD_PRELOAD": str(self.folder / "faults.so"),
            "PYTHONPATH": os.pathsep.join([str(self.folder / "site"), *filter(None, sys.path)]),
        }

    def arm(self, root: Path, fault: Fault = Fault.NONE, *, at: int = 0, slow: float = 0.0) -> None:
        """Watch a folder from now on: count its steps, and let the one of that number meet the fault."""
        fields = (0, at, fault, round(1e6 * slow), self.clock, os.fsencode(root), b"")
        _PAGE.pack_into(self._map, 0, *fields)

    @property
    def steps(self) -> int:
        return int(_PAGE.unpack_from(self._map)[0])

    @property
    def met(self) -> str:
        """The step that met its fault: what was called, and with which file; empty where none has."""
        return os.fsdecode(_PAGE.unpack_from(self._map)[6].rstrip(b"\0").partition(b"\0")[0])

    @property
    def clock(self) -> float:
        """Seconds by which the clock is wrong."""
        return float(struct.unpack_from("d", self._map, _CLOCK)[0])

    @clock.setter
    def clock(self, seconds: float) -> None:
        struct.pack_into("d", self._map, _CLOCK, seconds)


def build(folder: Path) -> Page:
    """Compile the library into a folder, with the page and the clock beside it."""
    if shutil.which("cc") is None:
        raise SystemExit("a drill of file-system faults needs a C compiler (cc)")
    source = Path(__file__).with_suffix(".c")
    words = ["cc", "-O2", "-shared", "-fPIC", "-o", folder / "faults.so", source, "-ldl"]
    subprocess.run(words, check=True)
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(_SITE)
    return Page(folder)


def begin(work: Callable[[], object], log: Path) -> int:
    """Do something in a process of a session of its own, forked, so that nothing is imported again."""
    sys.stdout.flush()
    if pid := os.fork():
        return pid
    code = 70
    try:
        os.setsid()
        for target, name in ((0, os.devnull), (1, log), (2, log)):
            os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644), target)
        work()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def end(pid: int, patience: float) -> int | None:
    """A process's exit code, -9 where it was killed; None where it had to be, as its time was up."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    return None
