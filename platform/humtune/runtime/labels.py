"""What a person says of recordings after listening: a table that only grows; the last line counts."""

import csv
import errno
import io
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from humtune.errors import UsageError

LABELS = "labels.csv"
CHOICES = ("healthy", "bad", "unsure")
_HEADER = ("recording", "label", "time")


class Label(NamedTuple):
    """What a person said of a recording, and when."""

    label: str
    time: float  # seconds since 1970; 0 where nobody knows


class Reviewed(NamedTuple):
    """What a person said of recordings, by what can be made of it."""

    table: Path
    healthy: tuple[Path, ...]
    bad: tuple[Path, ...]
    unsure: tuple[Path, ...]
    gone: tuple[Path, ...]  # healthy or bad, and there no more


def read_reviewed(path: Path) -> Reviewed:
    """The recordings of a table of labels; UsageError where there is no such file, or none healthy or bad."""
    if not path.is_file():
        mend = f"did you mean {path / LABELS}?" if path.is_dir() else "`humtune review RESULTS` writes one"
        raise UsageError(f"{path}: no table of labels; {mend}")
    said = _read(path)
    healthy, bad, unsure = ([Path(name) for name in said if said[name].label == choice] for choice in CHOICES)
    gone = {file for file in healthy + bad if not _is_there(file)}
    well, wrong = (tuple(file for file in files if file not in gone) for files in (healthy, bad))
    if not well and not wrong:
        what = "is there any more" if healthy or bad else "is called healthy or bad"
        raise UsageError(f"{path}: no recording in it {what}; `humtune review RESULTS` labels others")
    return Reviewed(path, well, wrong, tuple(filter(_is_there, unsure)), tuple(sorted(gone)))


def _is_there(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # nothing can be called so
            return False
        raise


def read_labels(folder: Path) -> dict[str, Label]:
    """By recording (its absolute path), of a folder of results; UsageError for a label that is none."""
    return _read(folder / LABELS)


def _read(path: Path) -> dict[str, Label]:
    found = dict[str, Label]()
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as stream:
            for row in csv.DictReader(stream):
                label = (row.get("label") or "").strip()
                if label not in CHOICES or not row.get("recording"):
                    known = ", ".join(CHOICES)
                    raise UsageError(
                        f"{path}: expected recording,label,time, a label of {known}; got {label!r}"
                    )
                found[row["recording"]] = Label(label, _seconds(row.get("time") or ""))
    except FileNotFoundError:
        return found
    except (OSError, csv.Error) as error:
        raise UsageError(f"{path}: can't be read as a table ({error})") from error
    return found


def add_label(folder: Path, recording: str, label: str) -> None:
    """Append a label; UsageError for one that is none, or where the file can't be written."""
    if label not in CHOICES:
        raise UsageError(f"no label {label!r}; there are {', '.join(CHOICES)}")
    path, text = folder / LABELS, io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)  # else it leaves \r as it is
    try:
        with path.open("ab", buffering=0) as stream:
            if not stream.tell():
                writer.writerow(_HEADER)
            writer.writerow(
                (recording, label, datetime.now().astimezone().isoformat(timespec="milliseconds"))
            )
            stream.write(text.getvalue().encode(errors="surrogateescape"))
    except OSError as error:
        raise UsageError(f"{path}: can't be written ({error.strerror or error})") from error


def _seconds(text: str) -> float:
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0
