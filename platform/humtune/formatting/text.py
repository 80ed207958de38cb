"""Results as text: figures in their units, tables as Markdown and CSV, a Markdown report as one HTML page."""

import csv
import io
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from markdown_it.renderer import RendererHTML
    from markdown_it.token import Token

MISSING = "–"
MANY = 4  # columns: too many for a telephone, which has a line for each cell

# what Markdown takes for its own; _ only at the edge of a word, & before an entity, # after a space
_SIGNS = re.compile(r"[\\`*\[\]<>~$]|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;)|(?<!\S)#")
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
:root { color-scheme: light dark; --line: #8886; --band: #8881; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 84rem; padding: 0 1rem; }
h1, h2, li, p { overflow-wrap: anywhere; }
.wide, pre { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; white-space: nowrap; }
th, td { padding: .3rem .5rem; border-bottom: 1px solid var(--line); font-size: .9em; }
th { white-space: normal; vertical-align: bottom; }
tbody tr:nth-child(even) { background: var(--band); }
pre { background: var(--band); padding: .6rem; border-radius: 6px; }
img { max-width: 100%; background: #fff; border-radius: 6px; margin: .3rem; vertical-align: top; }
@media (max-width: 40rem) {
  body { margin: 1rem auto; }
  ul { padding-left: 1.2rem; }
  pre { white-space: pre-wrap; overflow-wrap: anywhere; }
  th, td { white-space: normal; overflow-wrap: anywhere; font-size: 1em; }
  .many thead { display: none; }
  .many tr { display: block; border-bottom: 1px solid var(--line); padding: .4rem 0; }
  .many td { display: flex; justify-content: space-between; gap: 1rem; border: 0; padding: .1rem .4rem; }
  .many td::before { content: attr(data-column); opacity: .75; text-align: left; }
  p:has(> img) { overflow-x: auto; }
  img { max-width: none; width: 36rem; }
}
</style>
</head>
<body>
{{ body }}</body>
</html>
"""


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


def to_html(markdown: str, plots: Mapping[str, bytes]) -> str:
    """A Markdown text as one HTML file that needs nothing beside it: its PNG plots (by name) are in it.

    HTML in the text is shown as it is written.
    """
    from jinja2 import Template  # here, with the next two: a table alone does without them
    from markdown_it import MarkdownIt
    from markupsafe import Markup

    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.add_render_rule("table_open", _open_table)
    parser.add_render_rule("table_close", lambda *_: "</table></div>\n")
    tokens = parser.parse(markdown)
    first = next((t.children or [] for t in tokens if t.type == "inline"), [])
    title = "".join(child.content for child in first) or "humtune"
    for token in tokens:
        for child in token.children or ():
            if child.type == "image" and (png := plots.get(unquote(str(child.attrs["src"])))):
                child.attrs["src"] = f"data:image/png;base64,{b64encode(png).decode()}"
    _name_columns(tokens)
    body = Markup(parser.renderer.render(tokens, parser.options, {}))
    return str(Template(_PAGE, autoescape=True).render(title=title, body=body))


def _open_table(renderer: "RendererHTML", tokens: "Sequence[Token]", at: int, *_: object) -> str:
    return f'<div class="wide"><table{renderer.renderAttrs(tokens[at])}>\n'


def _name_columns(tokens: "Sequence[Token]") -> None:
    """Have each cell of a table know its column, which stands before it where the screen is narrow."""
    columns: list[str] = []
    column = 0
    for token, after in pairwise(tokens):
        match token.type:
            case "table_open":
                table, columns = token, []
            case "th_open":
                columns.append(after.content)
                if len(columns) == MANY:
                    table.attrSet("class", "many")
            case "tr_open":
                column = 0
            case "td_open":
                token.attrSet("data-column", columns[column])
                column += 1


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
