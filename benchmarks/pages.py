"""Pages whose text is written by hand and whose figures are put in by a command."""

from collections.abc import Mapping
from pathlib import Path

from humtune.drafts import write_whole


def fill(path: Path, places: Mapping[str, str]) -> None:
    """Put each content between a place's mark, `<!-- PLACE -->`, and the `<!-- end -->` behind it.

    A KeyError names a place that the page doesn't keep.
    """
    text = path.read_text()
    for place, content in places.items():
        begin, end = f"<!-- {place} -->\n", "<!-- end -->"
        head, found, rest = text.partition(begin)
        if not found:
            raise KeyError(f"{path} has no line {begin.strip()}")
        text = f"{head}{begin}{content}\n{end}{rest.partition(end)[2]}"
    write_whole(path, text.encode())
