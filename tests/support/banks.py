"""Banks as trials open them: kept in a storage."""

from pathlib import Path

from humtune.sounds.bank import ClipBank, keep_bank
from humtune.storage import Storage
from humtune.testing.recordings import small_bank


def opened_bank(folder: Path) -> ClipBank:
    """The small bank, in a storage in a folder."""
    made = small_bank()
    clips = [made.clip(i) for i in range(len(made.table))]
    return keep_bank(clips, made.table, Storage(folder / "runs"))
