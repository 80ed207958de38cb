"""The model that lay in a model folder before it was continued: kept in it, to go back to."""

import shutil
from pathlib import Path

from humtune.drafts import drafted, replace_folder
from humtune.errors import UsageError
from humtune.runtime.info import ModelInfo, read_info, write_info

BEFORE = "before"  # the folder of a model folder


def keep_before(model: Path, draft: Path) -> None:
    """Copy a model into the draft of the one that follows it; what came before it is kept no longer."""
    shutil.copytree(model, draft / BEFORE, ignore=shutil.ignore_patterns(BEFORE))


def undo(model: Path) -> ModelInfo:
    """Take back the last thing that was done to a model, a new threshold or more recordings.

    UsageError where nothing was, or the place can't be written.
    """
    info, before = read_info(model), model / BEFORE
    if info.recalibrations or not before.is_dir():
        write_info(model, info := info.without_recalibration())
        return info
    info = read_info(before)
    try:
        with drafted(model) as draft:
            shutil.copytree(before, draft, dirs_exist_ok=True)
            replace_folder(draft, model)
    except OSError as error:
        raise UsageError(f"{model}: can't be written ({error.strerror or error})") from error
    return info
