"""What is known of the terms under which recordings may be used: the files beside them that say so."""

from pathlib import Path

from humtune.formatting.tables import code

_NAMES = ("licen", "copying", "terms")  # how the names of such files begin
_DEPTH = 2  # folders below the data's own: dev_data/fan


def licence_of(data: str) -> str:
    """A sentence or two about the licence of the recordings in a folder, for a model card."""
    folder = Path(data)
    found = sorted(
        path.relative_to(folder).as_posix()
        for depth in range(_DEPTH + 1)
        for path in folder.glob("/".join(["*"] * (depth + 1)))
        if path.name.lower().startswith(_NAMES) and path.is_file()
    )
    known = (
        f"Beside the recordings lies {', '.join(map(code, found))}: their licence is there."
        if found
        else "No licence lies beside the recordings, so humtune doesn't know it."
    )
    return (
        f"{known} Recordings of DCASE Task 2 have their terms on their Zenodo page; some forbid commercial\n"
        "use. The model holds what it learnt of its recordings, an embedding of each chunk included: read\n"
        "the terms before you pass it on."
    )
