"""The documents' site: it builds without a warning, reads as GitHub shows it, asks nothing of the network."""

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from bs4 import BeautifulSoup, Tag
from markdown_it import MarkdownIt
from typer.main import get_command

import humtune
from humtune.cli.main import app

pytest.importorskip("material", reason="pip install -c constraints.txt '.[docs]' brings what builds the site")
pytest.importorskip("mkdocstrings", reason="pip install -c constraints.txt '.[docs]' brings the reference")

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

HOUSE = Path(__file__).parents[1]
PAGES = {
    "README.md": "overview.html",
    "CONTRIBUTING.md": "contributing.html",
    "CHANGELOG.md": "changelog.html",
    "mlflow/README.md": "mlflow.html",
    "docs/README.md": "index.html",
    **{f"docs/{p.name}": f"{p.stem}.html" for p in (HOUSE / "docs").glob("*.md") if p.stem != "README"},
}
BLOCKS = ("h1", "h2", "h3", "p", "li", "pre", "table", "tr", "td", "img", "a", "strong", "em")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the site, built as `make docs` does it: a warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    words = ("-m", "mkdocs", "build", "--strict", "--site-dir", folder)
    done = subprocess.run(
        [sys.executable, *map(str, words)], cwd=HOUSE, env=os.environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def article(page: Path) -> Tag:
    """What a page says, without what the theme puts around it."""
    found = BeautifulSoup(page.read_text(), "html.parser").article
    assert found is not None
    for part in found.select(".headerlink, .md-content__button"):
        part.decompose()
    return found


@pytest.mark.parametrize("document", PAGES)
def test_a_page_reads_as_on_github(site: Path, document: str) -> None:
    """Two readers of Markdown agree: the site's, and CommonMark with tables, as GitHub has it."""
    github = MarkdownIt("commonmark", {"html": True}).enable("table")
    theirs = BeautifulSoup(github.render((HOUSE / document).read_text()), "html.parser")
    ours = article(site / PAGES[document])
    assert ours.get_text().split() == theirs.get_text().split()
    blocks = [Counter(part.name for part in page.find_all(BLOCKS)) for page in (ours, theirs)]
    assert blocks[0] == blocks[1]


ASKED = re.compile(r"""<(?:script|link|img|iframe)\b[^>]*?(?:src|href)=["']?(?:https?:)?//[^>]*""")
IMPORTED = re.compile(r"""(?:@import|url\()\s*["']?(?:https?:)?//[^)]*""")


def test_nothing_is_asked_of_the_network(site: Path) -> None:
    assert ASKED.search('<script async src="https://cdn.example/mermaid.js">')
    assert [found for page in site.rglob("*.html") for found in ASKED.findall(page.read_text())] == []
    assert [found for sheet in site.rglob("*.css") for found in IMPORTED.findall(sheet.read_text())] == []


def test_each_command_has_a_page_with_its_example(site: Path) -> None:
    top = get_command(app)
    words = [[name] for name in top.commands if name not in ("data", "version")]
    words += [["data", name] for name in top.commands["data"].commands]
    assert len(words) > 20
    for command in words:
        page = article(site / "commands" / f"{'-'.join(command)}.html")
        assert page.h1.get_text() == f"humtune {' '.join(command)}"
        example, usage, *_ = [" ".join(block.get_text().split()) for block in page.find_all("pre")]
        assert example.startswith(f"$ humtune {' '.join(command)} ")
        assert usage.startswith(f"$ humtune {' '.join(command)} ")
        assert "--help" in page.get_text()


def test_all_that_python_offers_is_in_the_reference(site: Path) -> None:
    documented = {
        heading["id"] for page in site.glob("reference/*.html") for heading in article(page).select("[id]")
    }
    named = {"Search.start", "Search.resume", "Model.score", "Model.predict", "data.synth"}
    assert {f"humtune.{name}" for name in {*humtune.__all__, *named}} <= documented
