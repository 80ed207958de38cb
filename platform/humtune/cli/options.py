"""Options that several commands share."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from humtune.storage import Storage

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


def storage_option(storage: "Storage") -> str:
    """What a next command's --storage must be to find the storage again; "" where it is the usual one."""
    usual = type(storage)(os.environ.get("HUMTUNE_STORAGE", DEFAULT_STORAGE))
    return "" if storage == usual else storage.uri
