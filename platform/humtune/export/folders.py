"""Model folders: written whole or not at all, and never over what is no model."""

from collections.abc import Mapping
from pathlib import Path

from humtune.drafts import drafted, replace_folder, write_through
from humtune.errors import UsageError
from humtune.runtime.info import CARD, INFO, INT8, MODEL, PAGE


def check_replaceable(folder: Path) -> None:
    """UsageError where something else than a model lies in the place of one."""
    if folder.is_dir():
        others = sorted({entry.name for entry in folder.iterdir()} - {MODEL, INFO, CARD, PAGE, INT8})
        if others:
            raise UsageError(
                f"{folder}: holds {others[0]}, which is no part of a model; choose another --out"
            )
    elif folder.exists():
        raise UsageError(f"{folder}: a file lies where the model's folder goes; choose another --out")


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder of files by way of a draft beside it, in the place of what was there."""
    check_replaceable(folder)
    try:
        with drafted(folder) as draft:
            for name, content in files.items():
                (draft / name).parent.mkdir(exist_ok=True)
                write_through(draft / name, content)
            replace_folder(draft, folder)
    except OSError as error:
        raise UsageError(f"{folder}: can't be written ({error.strerror or error})") from error
