"""The pages of the site that are no files of docs/: what lies elsewhere, the commands, the Python reference.

mkdocs calls each function `on_…` while it builds the site; mkdocs.yml names this file.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from posixpath import dirname, join, normpath, relpath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from typer import Context
from typer.cli import get_docs_for_click
from typer.core import TyperGroup
from typer.main import get_command

from humtune.cli.main import app

HOUSE = Path(__file__).parents[1]
ELSEWHERE = {  # a file of the project -> the page that shows it
    "README.md": "overview.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "mlflow/README.md": "mlflow.md",
    "LICENSE": "LICENSE.txt",
}
SPACES = "search_spaces"
REFERENCE = {  # page -> what of humtune it documents
    "Searches": [
        "Search",
        "searches",
        "api.plots.Plots",
        "report.table.Report",
        "results.ensembles.record.EnsembleRecord",
    ],
    "Models": [
        "Model",
        "api.model.Scores",
        "runtime.outcomes.Scored",
        "runtime.outcomes.Failed",
        "runtime.explain.Explanation",
    ],
    "Detectors": ["Detector"],
    "Evaluation": ["evaluate", "dcase.evaluate.Evaluation"],
    "Data sets": [
        "data",
        "sounds.check.CheckReport",
        "sounds.importing.Imported",
        "sounds.download.fetch.Fetched",
    ],
    "Errors": ["HumtuneError", "UsageError"],
    "Parts of your own": [
        "detectors.recipe.Recipe",
        "detectors.fit.Fit",
        "detectors.encoder.Encoder",
        "detectors.encoder.ChunkEncoder",
        "detectors.frontends.Frontend",
        "detectors.frontends.FrontendLayer",
        "detectors.classifier.backbones.Backbone",
        "detectors.classifier.heads.Head",
        "detectors.classifier.heads.HeadLayer",
        "scores.base.Score",
        "scores.base.FittedScore",
        "testing.contract.check_recipe",
    ],
}
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)\s#]+)(#[^)\s]*)?(?=\))")
CODE = re.compile(r"^```.*?^```|`[^`\n]+`", flags=re.DOTALL | re.MULTILINE)
EXAMPLE = re.compile(r"\s*Example: (.+)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages of the commands and of the reference where the navigation has their folders."""
    config.nav = with_pages(config.nav, {"commands/": list(commands()), "reference/": list(references())})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are no files of docs/."""
    elsewhere = {page: (HOUSE / place).read_text() for place, page in ELSEWHERE.items()}
    for page, text in {**elsewhere, **commands(), **references(), f"{SPACES}.md": spaces()}.items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links, which are right where the page's file lies in the project, to the pages of the site."""
    here = page.file.src_uri
    place = {page: place for place, page in ELSEWHERE.items()}.get(here, f"docs/{here}")

    def led(link: re.Match[str]) -> str:
        there, _, anchor = page_of(normpath(join(dirname(place), link[1]))).partition("#")
        return relpath(there, dirname(here) or ".") + (f"#{anchor}" if anchor else link[2] or "")

    code = [*CODE.findall(markdown), ""]
    return "".join(LINK.sub(led, text) + kept for text, kept in zip(CODE.split(markdown), code, strict=True))


def page_of(place: str) -> str:
    """The page that shows a file of the project."""
    if place.startswith(f"{SPACES}/") and place.endswith(".yaml"):
        return f"{SPACES}.md#{place.removeprefix(f'{SPACES}/').removesuffix('.yaml')}"
    return ELSEWHERE.get(place) or (
        f"{SPACES}.md" if (HOUSE / place).is_dir() else place.removeprefix("docs/")
    )


def with_pages(nav: Any, pages: dict[str, list[str]]) -> Any:
    """A navigation with the pages of a folder in the place of its name."""
    if isinstance(nav, list):
        return [with_pages(part, pages) for part in nav]
    if isinstance(nav, dict):
        return {title: with_pages(part, pages) for title, part in nav.items()}
    return pages.get(nav, nav)


def commands() -> dict[str, str]:
    """Page -> what a command's --help says."""
    return {
        f"commands/{name.replace(' ', '-')}.md": text for name, text in helps(get_command(app), "humtune")
    }


def helps(command: Any, word: str, parent: Context | None = None) -> Iterator[tuple[str, str]]:
    """Each command by its words without humtune's own, and what its --help says."""
    context = Context(command, parent=parent, info_name=word)
    if isinstance(command, TyperGroup):
        for name, part in command.commands.items():
            yield from helps(part, name, context)
    else:
        before = parent.command_path if parent else ""
        said = get_docs_for_click(obj=command, ctx=context, name=word, call_prefix=before)
        yield context.command_path.partition(" ")[2], EXAMPLE.sub(r"\n\n```console\n$ \1\n```\n", said)


def references() -> dict[str, str]:
    """Page -> what mkdocstrings makes it of."""
    return {
        f"reference/{title.lower().replace(' ', '-')}.md": f"# {title}\n\n{documented(names)}"
        for title, names in REFERENCE.items()
    }


def documented(names: Iterable[str]) -> str:
    """The docstrings of what humtune has of these names."""
    return "\n\n".join(f"::: humtune.{name}" for name in names)


def spaces() -> str:
    """The page of all spaces that humtune carries."""
    root = HOUSE / SPACES
    text = "# The spaces that humtune carries\n\n[Search spaces](spaces.md) says what their keys mean.\n"
    for path in sorted(root.rglob("*.yaml")):
        name = path.relative_to(root).with_suffix("").as_posix()
        text += f"\n## {name} {{ #{name} }}\n\n```yaml\n{path.read_text()}```\n"
    return text
