"""Options that several commands share."""

from typing import Annotated

import typer

StorageUri = Annotated[
    str,
    typer.Option(
        "--storage",
        envvar="HUMTUNE_STORAGE",
        help="Where searches are kept: a folder, or s3://… that every node reaches.",
    ),
]
SearchName = Annotated[str, typer.Argument(metavar="NAME", help="A search; `humtune runs` lists them.")]

DEFAULT_STORAGE = "humtune-runs"
