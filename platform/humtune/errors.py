"""What humtune says when it can't go on: one clear sentence with the file, the value and the mend."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MENDS = {
    errno.ENAMETOOLONG: "give a shorter one",
    errno.ENOSPC: "free some space there, or write to another disk",
    errno.EDQUOT: "free some of your quota there, or write to another disk",
    errno.EIO: "the disk or the way to it fails; the system's log tells more",
    errno.EROFS: "it is mounted to be read only; write elsewhere",
}


class HumtuneError(Exception):
    """A run that failed for a reason the user can read; the command line exits with 1."""

    exit_code = 1


class UsageError(HumtuneError):
    """A wrong word, file or value given by the user; the command line exits with 2."""

    exit_code = 2


class Superseded(HumtuneError):
    """What is written here belongs to a run of the search that another one has taken over from."""


class TooNew(HumtuneError):
    """A stored file is in a form that only a newer humtune can read."""


class DamagedScores(HumtuneError):
    """A trial's score file that can't be read: the trial is out, the others are not."""


@contextmanager
def naming(place: str | Path) -> Iterator[None]:
    """Name the file or folder in an error of the system that comes without, as that of a full disk does."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(place)
        raise


def in_a_line(error: OSError) -> str:
    """An error of the system with its file and mend."""
    parts = (error.filename, error.strerror or " ".join(str(error).split()))
    mend = MENDS.get(error.errno or 0, "")
    return ": ".join(str(part) for part in parts if part) + (f"; {mend}" if mend else "")


def first_line(error: Exception) -> str:
    """What a library says of what went wrong, as far as a person wants to know it."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
