"""Data sets: made, imported, fetched and checked, as `humtune data` does it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from humtune.sounds.check import CheckReport, check_dataset
from humtune.sounds.dcase import find_datasets
from humtune.sounds.synthetic import Sizes, synthesise

if TYPE_CHECKING:
    from humtune.sounds.download.fetch import Fetched
    from humtune.sounds.importing import Imported

__all__ = ["check", "fetch", "import_folder", "synth"]


def synth(
    folder: str | Path,
    *,
    machines: Sequence[str] = ("fan", "bearing"),
    sections: int = 6,
    clips: int = 60,
    target_clips: int = 6,
    test_per_cell: int = 10,
    seconds: float = 4.0,
    severity: float = 1.0,
    seed: int = 0,
) -> Path:
    """Make a data set of synthetic machines in the DCASE 2022 layout in a new folder, and return that.

    So many `sections` of each machine, of which the first half are dev_data; training `clips` a section of
    the source and `target_clips` of the target domain; test clips a section, domain and label; each of so
    many seconds. `severity` says how bad the faults are: 0.5 is hard, 2 is easy. UsageError where the folder
    is there and not empty.
    """
    sizes = Sizes(sections, clips, target_clips, test_per_cell, seconds)
    synthesise(Path(folder), machines=machines, sizes=sizes, severity=severity, seed=seed)
    return Path(folder)


def check(folder: str | Path, *, channel: int | None = None) -> list[CheckReport]:
    """Read every file of a data set, or of several in a folder, and report on each.

    A report's `bad` are files that a search would refuse, each with the reason; its `to_frame()` counts the
    clips. Of several channels `channel` is read, counted from 1; None: all, mixed down.
    """
    return [check_dataset(dataset, channel=channel) for dataset in find_datasets(Path(folder))]


def fetch(
    folder: str | Path,
    *,
    year: int = 2022,
    machines: Sequence[str] | None = None,
    evaluation: bool = True,
    keep_zips: bool = False,
) -> "Fetched":
    """Download recordings of DCASE Task 2, 2020 to 2025, from Zenodo, check and unpack them.

    Chosen machines or all, with eval_data or without. A transfer that broke off goes on where it was.
    UsageError for an unknown year or machine; HumtuneError where the disk has no room or the site is silent.
    """
    from humtune.sounds.download.fetch import fetch as bring

    return bring(Path(folder), year=year, machines=machines, evaluation=evaluation, keep_zips=keep_zips)


def import_folder(
    folder: str | Path,
    out: str | Path,
    *,
    machine: str | None = None,
    bad: str | Path | None = None,
    channel: int | None = None,
    window: float = 10.0,
) -> "Imported":
    """Make any folder of healthy recordings a machine of the data set `out`, cut into about `window` seconds.

    `bad` is a folder of recordings of when the machine was not well. The machine is called as the folder is,
    unless it is named. What can't be used is named in the `record` of what comes back.
    """
    from humtune.sounds.importing import import_folder as take

    place = None if bad is None else Path(bad)
    return take(Path(folder), Path(out), machine=machine, bad=place, channel=channel, window=window)
