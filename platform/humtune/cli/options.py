"""Options that several commands share."""

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
FIT = typer.Option(metavar="quantile|gamma", help="How a threshold is found in held-out scores.")

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
