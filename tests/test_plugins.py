"""Parts by their names: humtune's own, installed ones, and classes by their place; else one sentence."""

from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from humtune import plugins
from humtune.plugins import BACKBONE, BUILT_IN, FAMILY, FRONTEND, HEAD, SCORE, find, names

WHATS = (FAMILY, FRONTEND, BACKBONE, HEAD, SCORE)


def refused(what: str, name: object) -> str:
    """Why it is not found, in one line."""
    with pytest.raises(ValueError, match=what) as caught:
        find(what, name)
    assert type(caught.value) is ValueError  # an ImportError would end the command without its sentence
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module that is no part of humtune."""
    (tmp_path / "plugged_parts.py").write_text(
        "from humtune.detectors.classifier.heads import Head\n"
        "from humtune.scores.base import Score\n\n\n"
        "class Quiet(Head):\n    pass\n\n\nclass Loud(Score):\n    pass\n\n\n"
        "NUMBER = 3\n\n\ndef function():\n    pass\n"
    )
    (tmp_path / "plugged_broken.py").write_text("import no_such_library\n")
    monkeypatch.syspath_prepend(tmp_path)
    return "plugged_parts"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    """A package that declares two heads and a score."""
    points = EntryPoints(
        [
            EntryPoint("quiet", f"{module}:Quiet", "humtune.heads"),
            EntryPoint("gone", f"{module}:Gone", "humtune.heads"),
            EntryPoint("loud", f"{module}:Loud", "humtune.scores"),
        ]
    )
    monkeypatch.setattr(plugins, "entry_points", lambda **by: points.select(**by))


@pytest.mark.parametrize(("what", "name"), [(what, name) for what in WHATS for name in BUILT_IN[what]])
def test_every_part_of_humtunes_own_is_a_class(what: str, name: str) -> None:
    assert isinstance(find(what, name), type)


@pytest.mark.parametrize("what", [FRONTEND, BACKBONE, HEAD])
def test_a_part_is_called_what_its_kind_says(what: str) -> None:
    for name in BUILT_IN[what]:
        assert find(what, name).model_fields["kind"].default == name


@pytest.mark.parametrize("what", WHATS)
@pytest.mark.parametrize(
    "name", ["variatonal", "", "a b", "humtune", ":", "a:", ":B", "a..b:C", "a:b.c", 3, None]
)
def test_an_unknown_name_is_told_with_what_there_is(what: str, name: object) -> None:
    said = refused(what, name)
    assert said.startswith(f"there is no {what} {name!r}; there are ")
    assert all(f" {own}," in said for own in BUILT_IN[what])
    assert said.endswith(", and package.module:Class of yours")


def test_a_class_outside_is_found_by_its_place(module: str) -> None:
    assert find(HEAD, f"{module}:Quiet").__name__ == "Quiet"
    assert find(SCORE, f"{module}:Loud").__name__ == "Loud"


def test_a_class_of_another_kind_is_refused(module: str) -> None:
    said = refused(HEAD, f"{module}:Loud")
    assert said == (f"head '{module}:Loud' should be a subclass of humtune.detectors.classifier.heads:Head")
    assert "subclass of humtune.detectors.recipe:Recipe" in refused(FAMILY, "collections:OrderedDict")


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("no_such_module:Head", "No module named 'no_such_module'"),
        ("plugged_broken:Head", "No module named 'no_such_library'"),
        ("plugged_parts:Gone", "has no attribute 'Gone'"),
    ],
)
def test_what_cannot_be_imported_is_told_in_its_own_words(module: str, place: str, told: str) -> None:
    said = refused(HEAD, place)
    assert said.startswith(f"head {place!r} can't be imported: ")
    assert told in said


@pytest.mark.parametrize(("attribute", "kind"), [("NUMBER", "int"), ("function", "function")])
def test_what_is_no_class_is_refused(module: str, attribute: str, kind: str) -> None:
    said = refused(HEAD, f"{module}:{attribute}")
    assert said == f"head '{module}:{attribute}' should be a class, {attribute} is {kind}"


@pytest.mark.usefixtures("installed")
def test_an_installed_package_adds_its_names_to_its_group_alone(module: str) -> None:
    assert find(HEAD, "quiet").__name__ == "Quiet"
    assert find(SCORE, "loud").__name__ == "Loud"
    assert names(HEAD) == [*BUILT_IN[HEAD], "quiet", "gone"]
    assert names(SCORE) == [*BUILT_IN[SCORE], "loud"]
    assert names(BACKBONE) == list(BUILT_IN[BACKBONE])
    said = refused(HEAD, "loud")
    assert ", adaproj, quiet, gone, and package.module:Class of yours" in said


@pytest.mark.usefixtures("installed")
def test_an_entry_point_that_leads_nowhere_is_told_by_its_name() -> None:
    assert refused(HEAD, "gone").startswith("head 'gone' can't be imported: ")


@pytest.mark.usefixtures("installed")
def test_an_installed_package_takes_no_name_of_humtunes_own(
    monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    points = EntryPoints([EntryPoint("arcface", f"{module}:Quiet", "humtune.heads")])
    monkeypatch.setattr(plugins, "entry_points", lambda **by: points.select(**by))
    assert find(HEAD, "arcface").__module__ == "humtune.detectors.classifier.heads"
