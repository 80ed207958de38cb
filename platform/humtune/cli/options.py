"""Options that several commands share."""

import math
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated

import typer

from humtune.errors import UsageError

StorageUri = Annotated[
    str,
    typer.Option(
        "--storage",
        envvar="HUMTUNE_STORAGE",
        help="Where searches are kept: a folder, or s3://… that every node reaches.",
    ),
]
SearchName = Annotated[str, typer.Argument(metavar="NAME", help="A search; `humtune runs` lists them.")]
ModelFolder = Annotated[Path, typer.Argument(metavar="MODEL", help="A machine's folder of `humtune export`.")]
HealthyFolder = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="Healthy recordings of one machine, however they lie.")
]
BadFolder = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Recordings of the machine when it was not well.")
]
MachineName = Annotated[str | None, typer.Option(help="What to call the machine; the folder's name.")]
ReviewedFile = Annotated[
    Path | None,
    typer.Option(
        "--reviewed",
        metavar="LABELS.CSV",
        help="What `humtune review` wrote: bad recordings choose, healthy ones teach, unsure ones don't.",
    ),
]
FalseAlarms = Annotated[
    str | None,
    typer.Option(
        metavar="SHARE", help="Another threshold, that so many normal recordings exceed: 1% or 0.01."
    ),
]

DEFAULT_STORAGE = "humtune-runs"

Channel = Annotated[
    str | None,
    typer.Option(metavar="N|mix", help="Of several channels the one to read, counted from 1, or all, mixed."),
]


def read_channel(said: str | None) -> int | None:
    """The channel that `--channel` names; None for all of them, mixed down, as where nothing is said."""
    if said is None or said == "mix":
        return None
    if not said.isdecimal() or not int(said):
        raise UsageError(f"--channel {said}: it should be mix, or a channel's number, counted from 1")
    return int(said)


def read_share(said: str) -> float:
    """The share of clips that a person asks for as 1% or 0.01; UsageError where it is none."""
    text = said.strip()
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = math.nan
    if not 0 < share < 1:
        raise UsageError(
            f"--false-alarms {said}: it should lie between 0 and 1, or 0% and 100%, as 1% or 0.01"
        )
    return share


def loading() -> AbstractContextManager[None]:
    """Show that slow imports go on."""
    from humtune.sounds.parallel import waiting

    return waiting("loading humtune")
