"""The documents: what they link to is there, and the words of tables and cards are explained."""

import ast
import re
import shlex
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from typer.main import get_command
from words import TERMS, explained, terms_in

from humtune.cli.main import app
from humtune.formatting.columns import CONFIRMED_LEGEND, HIDDEN_LEGEND, LEGEND, OTHERS_LEGEND
from humtune.runtime.info import REQUIREMENTS

HOUSE = Path(__file__).parents[1]
DOCUMENTS = sorted([*HOUSE.glob("*.md"), *HOUSE.glob("docs/*.md"), *HOUSE.glob("mlflow/*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")
GLOSSARY = HOUSE / "docs" / "glossary.md"
LEGEND_WORDS = (
    "cross-fitted",
    "selecting clips",
    "within noise",
    "candidate",
    "pseudo-Ω",
    "held-out",
    "probes",
    "official",
    "paper",
    "AUC",
    "pAUC",
    "domain",
    "false alarm",
    "threshold",
    "pruned",
    "seed",
    "holdout",
    "one for all",
    "label-free",
    "score type",
)


def prose(document: Path) -> str:
    """A document without its blocks of code."""
    return re.sub(r"^```.*?^```", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)


def anchors(document: Path) -> list[str]:
    """The names of its headings in links, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(document), flags=re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for link in LINK.findall(prose(document)):
        if re.match(r"[a-z]+:", link):
            continue
        place, _, anchor = link.partition("#")
        target = (document.parent / place).resolve() if place else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def entries() -> dict[str, str]:
    """Word -> sentence."""
    parts = re.split(r"^### (.+)\n", GLOSSARY.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], (" ".join(text.split()) for text in parts[2::2]), strict=True))


def test_the_glossary_has_each_word_once_in_a_sentence() -> None:
    words = re.findall(r"^### (.+)$", GLOSSARY.read_text(), flags=re.MULTILINE)
    assert words == sorted(set(words), key=str.casefold)
    for word, sentence in entries().items():
        assert re.fullmatch(r"[A-Z][^.]*(?:et al\.[^.]*)?\.", sentence), word


@pytest.mark.parametrize("word", LEGEND_WORDS)
def test_the_words_of_legends_are_in_the_glossary(word: str) -> None:
    legend = " ".join((*LEGEND, *HIDDEN_LEGEND, *CONFIRMED_LEGEND, *OTHERS_LEGEND))
    assert word in legend
    known = " ".join([*entries(), entries()["Omega"]])
    assert word.replace("Ω", "Omega").replace("-out", " out") in known


def test_every_term_that_output_may_have_is_in_the_glossary() -> None:
    assert set(TERMS.values()) <= explained()
    assert terms_in("fan-00001 [2/4] pseudo-Ω 98.2 with family=rebuilt own") == {"pseudo-Omega", "family"}


# --- architecture.md

ARCHITECTURE = HOUSE / "docs" / "architecture.md"


def defined() -> set[str]:
    """The functions and classes of the package, and the methods as Class.method."""
    found: set[str] = set()
    for path in (HOUSE / "platform" / "humtune").rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.add(node.name)
            if isinstance(node, ast.ClassDef):
                found |= {
                    f"{node.name}.{part.name}" for part in node.body if isinstance(part, ast.FunctionDef)
                }
    return found


def test_the_names_in_the_architecture_are_the_codes() -> None:
    quoted = re.findall(r"`([^`\n]+)`", prose(ARCHITECTURE))
    modules = [name for name in quoted if re.fullmatch(r"humtune(\.\w+)+", name)]
    names = [name for name in quoted if re.fullmatch(r"[\w.]+\(\)|[A-Z]\w+", name)]
    assert len(modules) > 15
    assert len(names) > 60
    for module in modules:
        import_module(module)
    assert {name.removesuffix("()") for name in names} <= defined()


def test_the_drawing_is_the_import_contract() -> None:
    contract = tomllib.loads((HOUSE / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    layers = [{part.strip() for part in layer.split("|")} for layer in contract["layers"]]
    rows = re.findall(r"^ +[│▼] +(\w+(?: \| \w+)*)  ", ARCHITECTURE.read_text(), flags=re.MULTILINE)
    assert [{f"humtune.{room}" for room in row.split(" | ")} for row in rows] == layers


# --- CONTRIBUTING.md


def test_what_contributors_are_sent_to_is_there() -> None:
    text = (HOUSE / "CONTRIBUTING.md").read_text()
    places = re.findall(r"`((?:platform|tests|benchmarks|docs|search_spaces|mlflow)/[\w./]*)`", text)
    scripts = re.findall(r"^\.venv/bin/\S+ (?:-m pytest )?(\S+/\S+)", text, flags=re.MULTILINE)
    targets = set(re.findall(r"^make ([\w-]+)", text, flags=re.MULTILINE))
    assert len(places) > 15
    assert len(scripts) > 4
    assert [place for place in places + scripts if not (HOUSE / place).exists()] == []
    assert targets <= set(re.findall(r"^([\w-]+):", (HOUSE / "Makefile").read_text(), flags=re.MULTILINE))


# --- watching.md


def test_the_container_of_a_watch_has_what_it_names() -> None:
    """Its keys are of the Compose specification; what it copies is beside it, and what it runs is mounted."""
    text = (HOUSE / "docs" / "watching.md").read_text()
    before, _, after = text.partition("```yaml\n")
    ((name, service),) = yaml.safe_load(after.partition("```")[0])["services"].items()
    assert set(service) <= {
        *("build", "command", "user", "init", "restart", "stop_grace_period", "environment", "volumes"),
    }
    assert set(service["build"]) == {"context", "dockerfile_inline"}
    volumes = [volume.split(":") for volume in service["volumes"]]
    mounted = {inside: outside for outside, inside, *_ in volumes}
    assert {inside for _, inside, *how in volumes if how != ["ro"]} == {"/scores"}
    words = shlex.split(service["command"])
    assert words[:3] == ["humtune", "score", "/model"]
    options = {option for p in get_command(app).commands["score"].params for option in p.opts}
    assert {word for word in words if word.startswith("--")} <= options
    assert {word for word in words if word.startswith("/")} == set(mounted)

    lines = [line.split() for line in service["build"]["dockerfile_inline"].splitlines()]
    assert [line[0] for line in lines] == ["FROM", "RUN", "COPY", "RUN"]
    *copied, where = lines[2][1:]
    assert where == "/"
    assert copied == [f"{mounted['/model'].removeprefix('./')}/{REQUIREMENTS}", "humtune-*.whl"]
    assert "`pip wheel --no-deps ./humtune`" in before
    installed = [word for word in lines[3] if word.startswith("/")]
    assert installed == [f"/{Path(place).name}" for place in copied]
    assert "curl" in lines[1]
    assert "exec curl" in after  # of the alarm
    assert name == Path(mounted["/model"]).name
