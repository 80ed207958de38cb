"""A command on a terminal of its own, and an import in it that waits until it is let go."""

import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from waiting import wait_for

HOLD = """\
import os, sys, time
from pathlib import Path

class Held:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["HELD_MODULE"]:
            Path(os.environ["HELD_UNTIL"] + ".reached").touch()
            while not Path(os.environ["HELD_UNTIL"]).exists():
                time.sleep(0.01)

sys.meta_path.insert(0, Held())
"""


class Terminal:
    """A process on a pseudo-terminal; what it writes is read when it is asked for."""

    def __init__(self, *words: str | Path, cwd: Path, env: Mapping[str, str] | None = None) -> None:
        self._master, slave = pty.openpty()
        os.set_blocking(self._master, False)
        self.process = subprocess.Popen(
            [*map(str, words)],
            cwd=cwd,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", **(env or {})},
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)
        self._bytes = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)

    @property
    def text(self) -> str:
        """All that was written up to now, without colours and the moves of the cursor."""
        try:
            while more := os.read(self._master, 65_536):
                self._bytes += more
        except OSError:  # nothing more for now, or ever
            pass
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self._bytes.decode(errors="replace"))

    def wait(self) -> int:
        """The exit code, once it has ended."""
        self.wait_for(lambda: self.process.poll() is not None, "its end")
        return self.process.returncode

    def wait_for(self, holds: Callable[[], object], what: str) -> None:
        """Wait until something holds, and read what is written meanwhile: a full terminal stops it."""
        wait_for(lambda: (self.text, holds())[1], what)


def held(tmp_path: Path, module: str) -> tuple[dict[str, str], Path]:
    """The environment of a process in which the import of a module waits, and the file that lets it go on."""
    (tmp_path / "held").mkdir(exist_ok=True)
    (tmp_path / "held" / "sitecustomize.py").write_text(HOLD)
    until = tmp_path / "held" / "until"
    paths = [str(tmp_path / "held"), *filter(None, sys.path)]
    env = {"PYTHONPATH": os.pathsep.join(paths), "HELD_MODULE": module, "HELD_UNTIL": str(until)}
    return env, until
