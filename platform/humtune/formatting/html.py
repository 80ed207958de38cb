"""A Markdown report as one HTML file that needs nothing beside it."""

from base64 import b64encode
from collections.abc import Mapping
from urllib.parse import unquote

from jinja2 import Template
from markdown_it import MarkdownIt
from markupsafe import Markup

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
:root { color-scheme: light dark; --line: #8886; --band: #8881; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 84rem; padding: 0 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; white-space: nowrap; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); }
tbody tr:nth-child(even) { background: var(--band); }
img { max-width: 100%; background: #fff; border-radius: 6px; margin: .3rem; vertical-align: top; }
</style>
</head>
<body>
{{ body }}</body>
</html>
"""


def to_html(markdown: str, pictures: Mapping[str, bytes]) -> str:
    """The page of a Markdown text with its PNG pictures (by file name) in it; HTML in the text is shown."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.add_render_rule("table_open", lambda *_: '<div class="wide"><table>\n')
    parser.add_render_rule("table_close", lambda *_: "</table></div>\n")
    tokens = parser.parse(markdown)
    first = next((t.children or [] for t in tokens if t.type == "inline"), [])
    title = "".join(child.content for child in first) or "humtune"
    for token in tokens:
        for child in token.children or ():
            if child.type == "image" and (png := pictures.get(unquote(str(child.attrs["src"])))):
                child.attrs["src"] = f"data:image/png;base64,{b64encode(png).decode()}"
    body = Markup(parser.renderer.render(tokens, parser.options, {}))
    return str(Template(_PAGE, autoescape=True).render(title=title, body=body))
