"""What a person says of recordings after listening: a table that only grows; the last line counts."""

import csv
import io
import time
from pathlib import Path

from humtune.errors import UsageError

LABELS = "labels.csv"
CHOICES = ("healthy", "bad", "unsure")
_HEADER = ("recording", "label", "time")


def read_labels(folder: Path) -> dict[str, str]:
    """Recording (its absolute path) -> label, of a folder of results; UsageError for a label that is none."""
    path, found = folder / LABELS, dict[str, str]()
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as stream:
            for row in csv.DictReader(stream):
                label = (row.get("label") or "").strip()
                if label not in CHOICES or not row.get("recording"):
                    known = ", ".join(CHOICES)
                    raise UsageError(
                        f"{path}: expected recording,label,time, a label of {known}; got {label!r}"
                    )
                found[row["recording"]] = label
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
    writer = csv.writer(text, lineterminator="\n")
    try:
        with path.open("ab", buffering=0) as stream:
            if not stream.tell():
                writer.writerow(_HEADER)
            writer.writerow((recording, label, time.strftime("%Y-%m-%dT%H:%M:%S%z")))
            stream.write(text.getvalue().encode(errors="surrogateescape"))
    except OSError as error:
        raise UsageError(f"{path}: can't be written ({error.strerror or error})") from error
