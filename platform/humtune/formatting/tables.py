"""Tables of plain cells as Markdown and as CSV."""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MISSING = "–"

# what Markdown takes for its own; _ only at the edge of a word, & before an entity, # after a space
_SIGNS = re.compile(r"[\\`*\[\]<>~$]|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;)|(?<!\S)#")


def to_markdown(columns: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> str:
    """A Markdown table; the first `left` columns lean left, the others right."""
    lines = [_line(columns), f"|{'---|' * left}{'---:|' * (len(columns) - left)}"]
    return "\n".join([*lines, *map(_line, rows)])


def to_csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Rows of named cells as CSV with a header, in the order in which the names first come; None is empty."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def escaped(text: str) -> str:
    """A text as Markdown shows it, whatever is in it; a table's bars are seen to by the table."""
    return _SIGNS.sub(r"\\\g<0>", text)


def code(text: str) -> str:
    """A text as Markdown's code, in as many backticks as it takes."""
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    room = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{room}{text}{room}{ticks}"


def percent(value: float | None) -> str:
    """A fraction in percent with one decimal: 66.4."""
    return MISSING if value is None else f"{100 * value:.1f}"


def span(seconds: float) -> str:
    """A time in its natural unit, short: 42 s, 12 min, 3.4 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def in_percent(fraction: float | None) -> float | None:
    """A fraction as a percentage for a CSV file."""
    return None if fraction is None else round(100 * fraction, 4)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
