"""Bring recordings under any names into a data set that every command reads.

    <out>/dev_data/<machine>/train/section_00_source_train_normal_0000.flac          healthy
    <out>/dev_data/<machine>/test/section_00_source_test_{normal,anomaly}_0000.flac  where there are bad ones
    <out>/dev_data/<machine>/attributes_00.csv    of each window: recording and, if it is a class, folder
    <out>/dev_data/<machine>/import.json          ImportRecord: what came of which file

A machine's folder is written whole or not at all. All windows of a recording are on one side: they train, or
they are tested; where names tell days, all recordings of a day are.
"""

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, ValidationError

from humtune.config import SAMPLE_RATE, Frozen, Stored
from humtune.drafts import drafted, replace_folder, write_through
from humtune.errors import HumtuneError, UsageError
from humtune.names import check_name, count
from humtune.sounds.dcase import split_of
from humtune.sounds.groups import RECORDING
from humtune.sounds.loose import WINDOW, LeftOut, Loose, Taken, apart, find_loose, read_loose, without_twins
from humtune.sounds.pieces import (
    Part,
    Piece,
    attribute_value,
    choose_tested,
    classes_of,
    cut_pieces,
    is_bad,
    moved,
)
from humtune.sounds.survey import few
from humtune.sounds.table import ANOMALY

RECORD = "import.json"
FOLDER = "folder"  # the attribute that makes sub-folders classes
BAD = "bad: "  # before the name of a bad recording, which a healthy one may have too
WINDOWS = (2.0, 60.0)  # seconds of a window that can be asked for

_READER = 1  # counts changes to what an import makes of the same files
_PURPOSE: dict[Part, str] = {
    "train": "to learn from",
    "normal": "healthy, to test",
    "anomaly": "bad, to test",
}
_SPLITS: dict[Part, str] = {"train": "train", "normal": "test", "anomaly": "test"}


class ImportedPiece(Frozen):
    """What came of a recording, or of a block of one."""

    file: str  # its place below the folder that was named
    recording: str  # what its windows carry as attribute
    sound: str  # hash of the whole recording's samples
    part: Part  # it trains, or is tested as normal or as anomaly
    windows: int
    seconds: float


class ImportRecord(Stored):
    """What a machine's data set was made of."""

    folder: str
    bad: str | None = None
    files_print: str  # of the files' names, sizes and times, and of how they were read
    window: float | None = Field(None, description="seconds, about; null where humtune didn't keep it yet")
    pieces: tuple[ImportedPiece, ...]
    classes: tuple[str, ...] = ()  # sub-folders that are told apart
    left_out: tuple[str, ...] = ()  # a sentence for each file
    notes: tuple[str, ...] = ()

    def seconds(self, *parts: Part) -> float:
        """How much sound there is of some parts."""
        return sum(piece.seconds for piece in self.pieces if piece.part in parts)

    def windows(self, *parts: Part) -> int:
        """How many windows there are of some parts."""
        return sum(piece.windows for piece in self.pieces if piece.part in parts)

    def recordings(self, *parts: Part) -> int:
        """How many files there are of some parts."""
        return len({piece.file for piece in self.pieces if piece.part in parts})

    def summary(self) -> Iterator[str]:
        """How much there is of each part, a sentence each."""
        for part, what in _PURPOSE.items():
            if files := self.recordings(part):
                pieces = count(self.windows(part), "window")
                yield f"{what}: {count(files, 'recording')}, {spell(self.seconds(part))}, in {pieces}"
        if self.classes:
            names = [name or "the folder itself" for name in self.classes]
            yield f"sub-folders that are told apart: {few(names)}"


@dataclass(frozen=True)
class Imported:
    """A machine's data set."""

    data: Path  # that a search is given as --data
    machine: str
    record: ImportRecord
    is_new: bool  # or it was there, of the same files


def import_folder(
    folder: Path,
    out: Path,
    *,
    machine: str | None = None,
    bad: Path | None = None,
    channel: int | None = None,
    window: float = WINDOW,
) -> Imported:
    """Cut the healthy recordings in a folder into windows, and write them as a machine of a data set.

    The `machine` is called as its folder if nothing is said. The recordings in `bad` become test anomalies,
    and about as many windows of whole healthy ones test normals. Of several channels `channel` is read,
    counted from 1; None: all are mixed down. `window` is in seconds. The same files always give the same
    data set; where it is there already, nothing is done, and where files came since, the others stay on
    their sides. HumtuneError where no healthy recording can be used.
    """
    if not WINDOWS[0] <= window <= WINDOWS[1]:
        raise UsageError(f"--window {window:g}: it should be {WINDOWS[0]:g} to {WINDOWS[1]:g} s")
    if bad and folder.resolve().is_relative_to(bad.resolve()):
        raise UsageError(f"--bad {bad}: the healthy recordings lie there; move the bad ones elsewhere")
    found = find_loose(folder, without=[apart(out, folder), *([bad] if bad else [])])
    called = machine_name(folder, machine)
    if bad:
        if not (those := find_loose(bad, ANOMALY, without=[apart(out, bad)])):
            raise UsageError(f"{bad}: no sound files in it")
        found += those
    place = out / "dev_data" / called
    before = _before(place, folder)
    files_print = _files_print(found, channel, window)
    if before and before.files_print == files_print:
        return Imported(out, called, before, is_new=False)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with drafted(place) as draft:
            taken, left = without_twins(read_loose(found, draft, channel=channel, window=window))
            if not all(any(is_bad(t) == kind for t in taken) for kind in {False, bad is not None}):
                raise HumtuneError(_nothing(folder, bad, taken, left))
            record = _lay_out(taken, draft, called, before)
            record = record.model_copy(
                update={
                    "folder": str(folder.resolve()),
                    "bad": str(bad.resolve()) if bad else None,
                    "files_print": files_print,
                    "window": window,
                    "left_out": tuple(map(str, left)),
                    "notes": (*record.notes, *_notes(taken)),
                }
            )
            write_through(draft / RECORD, record.model_dump_json(indent=1).encode())
            replace_folder(draft, place)
    except OSError as error:
        raise UsageError(f"{place}: can't be written ({error.strerror or error})") from error
    return Imported(out, called, record, is_new=True)


def machine_name(folder: Path, said: str | None = None) -> str:
    """What a machine is called whose recordings lie in a folder, if nothing is said."""
    if said is not None:
        check_name(said, "a machine called", "choose another --machine")
        return said
    place = folder.resolve()
    name = place.parent.name if split_of(place.name) else place.name
    check_name(name, "a machine called", "name it with --machine")
    return name


def read_record(place: Path) -> ImportRecord:
    """What a machine's folder was made of; UsageError where it is no import's, or can't be read."""
    path = place / RECORD
    try:
        return ImportRecord.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise UsageError(
            f"{place}: lies where the recordings go, and no import made it; choose another --machine or place"
        ) from None
    except (OSError, ValidationError) as error:
        raise UsageError(f"{path}: can't be read; delete {place}, and import it again") from error


def spell(seconds: float) -> str:
    """Seconds of sound as a person says them: 42 s, 3 min, 2.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"


def _before(place: Path, folder: Path) -> ImportRecord | None:
    """What was imported to a place before; UsageError where that is of another folder."""
    if not place.exists():
        return None
    record = read_record(place)
    if record.folder != str(folder.resolve()):
        raise UsageError(
            f"{place}: holds the recordings of {record.folder}; choose another --machine for {folder}"
        )
    return record


def _files_print(found: Sequence[Loose], channel: int | None, window: float) -> str:
    looks = []
    for loose in found:
        try:
            status = loose.path.stat()
            looks.append((loose.name, loose.label, status.st_size, status.st_mtime_ns))
        except OSError:  # a link to nowhere
            looks.append((loose.name, loose.label, -1, -1))
    listing = json.dumps([_READER, SAMPLE_RATE, channel, window, looks])
    return hashlib.sha256(listing.encode()).hexdigest()[:32]


def _nothing(folder: Path, bad: Path | None, taken: Sequence[Taken], left: Sequence[LeftOut]) -> str:
    """Why there is nothing to import."""
    where = bad if bad and any(not is_bad(t) for t in taken) else folder
    mine = [str(one) for one in left if one.path.is_relative_to(where)]
    return f"{where}: no recording that can be used" + (f"; {few(mine, between='; ')}" if mine else "")


def _lay_out(taken: Sequence[Taken], draft: Path, machine: str, before: ImportRecord | None) -> ImportRecord:
    """Bring the windows to their places in a draft of the machine's folder."""
    healthy = [t for t in taken if not is_bad(t)]
    wrong = [t for t in taken if is_bad(t)]
    pieces, classes, names = cut_pieces(healthy, _known(before)), classes_of(healthy), set[str]()
    wanted = sum(len(t.windows) for t in wrong)
    tested = choose_tested(pieces, wanted) if wrong else set()
    parts: list[tuple[Part, Piece]] = [("normal" if p.group in tested else "train", p) for p in pieces]
    parts += [("anomaly", Piece(t, BAD + t.loose.name, t.windows)) for t in wrong]
    values = {group: attribute_value(group, names) for group in dict.fromkeys(p.group for _, p in parts)}
    numbers: Counter[Part] = Counter()
    rows: list[list[str]] = []
    done: list[ImportedPiece] = []
    for split in ("train", "test") if wrong else ("train",):
        (draft / split).mkdir()
    for part, piece in parts:
        split, label = _SPLITS[part], "anomaly" if part == "anomaly" else "normal"
        attributes = [RECORDING, values[piece.group]]
        if classes and part != "anomaly":
            attributes += [FOLDER, attribute_value(piece.taken.loose.folder or machine, set())]
        for window in piece.windows:
            name = f"section_00_source_{split}_{label}_{numbers[part]:04d}.flac"
            window.rename(draft / split / name)
            rows.append([f"{machine}/{split}/{name}", *attributes])
            numbers[part] += 1
        share = len(piece.windows) / len(piece.taken.windows)
        done.append(
            ImportedPiece(
                file=piece.taken.loose.name,
                recording=values[piece.group],
                sound=piece.taken.sound,
                part=part,
                windows=len(piece.windows),
                seconds=piece.taken.seconds * share,
            )
        )
    _write_attributes(draft / "attributes_00.csv", rows)
    notes = tuple(moved(parts))
    return ImportRecord(folder="", files_print="", pieces=tuple(done), classes=classes, notes=notes)


def _known(before: ImportRecord | None) -> dict[str, list[Part]]:
    """The parts that each healthy sound's blocks had; of an import without bad recordings nothing binds."""
    known: dict[str, list[Part]] = {}
    if before and before.bad:
        for piece in before.pieces:
            if piece.part != "anomaly":
                known.setdefault(piece.sound, []).append(piece.part)
    return known


def _write_attributes(path: Path, rows: Iterable[Sequence[str]]) -> None:
    table = io.StringIO()
    rows = list(rows)
    width = max(map(len, rows)) - 1
    header = ["file_name", *(f"d{i}{c}" for i in range(1, width // 2 + 1) for c in "pv")]
    filled = [[*row, *[""] * (width + 1 - len(row))] for row in rows]
    csv.writer(table, lineterminator="\n").writerows([header, *filled])
    write_through(path, table.getvalue().encode())


def _notes(taken: Sequence[Taken]) -> Iterable[str]:
    """What was done to recordings and what is odd about them, each said once."""
    named: dict[str, list[str]] = {}
    for t in taken:
        for remark in t.remarks:
            named.setdefault(remark, []).append(t.loose.name)
    for remark, files in named.items():
        which = "" if len(files) == len(taken) else f" ({few(files)})"
        yield f"{count(len(files), 'recording')}{which}: {remark}"
