"""Where spaces are found, what one takes from another, and what a machine has for itself."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from humtune.config import SHARED
from humtune.detectors.classifier.recipe import Classifier
from humtune.detectors.frontends import Spectrogram
from humtune.errors import UsageError
from humtune.search.space import Space, check_space, read_space
from humtune.search.space.fit import check_fits, remarks
from humtune.search.space.overrides import override
from humtune.search.timing import sizes

Make = Callable[..., Any]

MU = "search: {head.mu: [5, 10]}\n"
BASE = """
trials: 7
fixed: {training: {epochs: 9, batch_size: 8}, scores: [cosine, nll]}
machines:
  fan: {spectrogram: {n_fft: 512, n_mels: 64}}
  valve: {backbone.width: 0.5}
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Files of a folder `search_spaces` that the search is started beside."""
    monkeypatch.chdir(tmp_path)

    def write(**texts: str) -> Path:
        for name, text in texts.items():
            path = tmp_path / "search_spaces" / f"{name.replace('__', '/')}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return tmp_path / "search_spaces"

    return write


# --- folders


def test_a_folders_spaces_are_one_space_with_a_budget_each(write: Make) -> None:
    write(
        mine__short="sampler: grid\nseeds: 2\nfixed: {training.epochs: 3}\nsearch: {head.mu: [5]}\n",
        mine__long="sampler: grid\nfixed: {training.epochs: 9}\nsearch: {head.mu: [5, 10]}\n",
        mine___part="fixed: {}\n",
        mine__below__other="sampler: grid\nsearch: {head.mu: [1]}\n",
    )
    name, space = read_space("mine")
    assert (name, space.seeds, space.epochs) == ("mine", 2, 9)
    runs = [run.params["family"] for run in space.runs("fan")]
    assert runs == ["long mu=5", "long mu=10", "short"] * 2
    short = space.recipe({"family": "short"})
    assert isinstance(short, Classifier)
    assert (short.family, short.training.epochs, short.head) == (
        "classifier",
        3,
        Classifier().head.model_copy(update={"mu": 5.0}),
    )


def test_a_space_of_a_folder_that_no_grid_holds_is_named(write: Make) -> None:
    folder = write(mine__one="sampler: grid\nsearch: {head.mu: [5]}\n", mine__two=MU)
    said = r"two\.yaml: its sampler is tpe, and .* each is a grid.*; search mine/two by itself"
    with pytest.raises(UsageError, match=said):
        read_space("mine")
    write(mine__two=f"sampler: grid\ngrace: 0.5\n{MU}")
    with pytest.raises(UsageError, match=r"two\.yaml: it sets grace, and"):
        read_space("mine")
    (folder / "mine.yaml").write_text(MU)
    assert read_space("mine")[1].sampler == "tpe"  # a file goes before a folder


SHARING = """
sampler: grid
seeds: 2
shared_trials: 4
fixed: {training: {start: shared, epochs: 2, learning_rate: 1e-4}}
machines: {shared: {training: {epochs: 7, learning_rate: 1e-3}, labels: both}}
search: {spectrogram.n_mels: [32, 64], head.mu: [5, 10]}
"""
ALONE = "sampler: grid\nfixed: {training.epochs: 3}\nsearch: {head.mu: [5, 10]}\n"


def test_shared_trials_of_a_folder_are_those_of_the_space_that_asks_for_them(write: Make) -> None:
    """As the space makes them by itself, and of no other; nor do machines' trials draw theirs."""
    write(mine__alone=ALONE, mine__tuned=SHARING)
    tuned, space = read_space("mine/tuned")[1], read_space("mine")[1]
    assert (space.shared_trials, space.quota(SHARED), len(tuned.runs(SHARED))) == (4, 4, 8)
    for study in ("fan", SHARED):
        recipes = [space.recipe(r.params, machine=study, seed=r.seed) for r in space.runs(study)]
        own = [r for r in recipes if isinstance(r, Classifier) and r.training.epochs != 3]
        assert len(recipes) - len(own) == (4 if study == "fan" else 0)  # two points, two seeds
        assert own == [tuned.recipe(r.params, machine=study, seed=r.seed) for r in tuned.runs(study)]
        assert {r.starts_shared for r in own} == {study == "fan"}
    assert space.starting_shared == {"classifier"}
    names = [run.params["family"] for run in space.runs(SHARED)]
    assert names[:2] == ["tuned shared n_mels=32 mu=5", "tuned shared n_mels=32 mu=10"]
    assert [params["family"] for params, _ in sizes(space, "fan")] == [
        "alone mu=5",
        "alone mu=10",
        "tuned mu=5",
        "tuned mu=10",
    ]
    assert [params["family"] for params, _ in sizes(space, SHARED)] == names[:4]
    assert check_space(space.model_dump(mode="json"), where="plan") == space


def test_spaces_of_a_folder_start_from_their_own_shared_trials(write: Make) -> None:
    write(mine__tuned=SHARING, mine__other=f"{ALONE}shared_trials: 2\n")
    space = read_space("mine")[1]
    assert space.shared_trials == 6
    theirs = [run.params["family"] for run in space.runs(SHARED)[:6]]
    assert theirs == [f"other shared mu={mu}" for mu in (5, 10)] + [
        f"tuned shared n_mels={n} mu={mu}" for n in (32, 64) for mu in (5, 10)
    ]
    assert space.starts_from({"family": "tuned mu=5"}) == tuple(theirs[2:])
    assert space.starts_from({"family": "other mu=5"}) is None  # and it doesn't start from any
    write(mine__tuned=f"{ALONE}shared_trials: 1\n")
    space = read_space("mine")[1]
    assert space.shared_trials == 3
    assert [run.params["family"] for run in space.runs("fan")] == [
        f"{name} mu={mu}" for name in ("other", "tuned") for mu in (5, 10)
    ]
    assert [run.params["family"] for run in space.runs(SHARED)] == [
        f"{name} shared mu={mu}" for name in ("other", "tuned") for mu in (5, 10)
    ]


def test_a_grid_may_be_of_shared_trials_alone(write: Make) -> None:
    write(mine__all=f"{ALONE}trials: 0\nshared_trials: 2\n", mine__own=ALONE)
    alone, space = read_space("mine/all")[1], read_space("mine")[1]
    assert (alone.quota("fan"), alone.quota(SHARED)) == (0, 2)
    assert [run.params["family"] for run in space.runs("fan")] == ["own mu=5", "own mu=10"]
    assert [run.params["family"] for run in space.runs(SHARED)] == ["all shared mu=5", "all shared mu=10"]
    write(mine__all=f"{ALONE}trials: 1\nshared_trials: 2\n")
    with pytest.raises(UsageError, match="trials = 1: sampler: grid runs all of its points"):
        read_space("mine/all")
    with pytest.raises(UsageError, match=r"all\.yaml: trials = 1: sampler: grid runs all of its points"):
        read_space("mine")
    write(mine__all=f"{ALONE}trials:\n")  # as if it were left out
    assert len(read_space("mine/all")[1].runs("fan")) == 2
    assert len(read_space("mine")[1].runs("fan")) == 4


def test_a_space_of_a_folder_has_no_settings_of_one_machine(write: Make) -> None:
    write(mine__one=f"{ALONE}machines: {{shared: {{labels: both}}}}\n")  # a machine of that name
    with pytest.raises(UsageError, match=r"one\.yaml: it sets machines\.shared, and spaces of a folder"):
        read_space("mine")


def test_shared_trials_may_have_a_budget_of_their_own(write: Make) -> None:
    write(mine=SHARING)
    _, space = read_space("mine")
    budgets = {
        study: {space.recipe(r.params, machine=study).budget for r in space.runs(study)}
        for study in ("fan", SHARED)
    }
    assert budgets == {"fan": {2}, SHARED: {7}}
    assert space.epochs == 7
    with pytest.raises(UsageError, match=r"command line: training.start = shared: the search has no shared"):
        override(space, shared_trials=0)
    anew = override(space, shared_trials=0, settings={"training.start": None})
    assert anew.recipe({}, machine=SHARED).budget == 2  # it would be a machine's name now


# --- extends

WRONG = {
    "extends: 3\n": "mine.yaml: extends = 3: should be the name of one space",
    "extends: nothing\n": "mine.yaml: extends = 'nothing': no search space named 'nothing'; there are: ",
    "extends: nothing.yaml\n": "mine.yaml: extends = 'nothing.yaml': no search space at ",
    "extends: one\n": "two.yaml: extends = 'one': leads back to ",
    f"extends: base\n{MU}fixed: [training]\n": "mine.yaml: fixed = ['training']: should be a mapping",
    f"extends: base\n{MU}fixed: {{training: 3, training.epochs: 2}}\n": (
        "mine.yaml: training.epochs = 2: training is 3 already, which has no settings below it"
    ),
    f"extends: base\n{MU}sampler: grid\n": (
        "mine.yaml: trials = 7: sampler: grid runs all of its points; leave it out, --trials runs fewer"
    ),
    f"extend: base\n{MU}": "mine.yaml: extend = 'base': no such setting; did you mean extends?",
    "extends: base\n": "mine.yaml: search is missing",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_can_not_be_extended_is_told(write: Make, text: str) -> None:
    write(mine=text, base=BASE, one="extends: two\n", two="extends: one\n")
    with pytest.raises(UsageError) as caught:
        read_space("mine")
    assert WRONG[text] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_space_that_extends_itself_finds_no_other(write: Make) -> None:
    write(mine=f"extends: mine\n{MU}")
    with pytest.raises(UsageError, match="extends = 'mine': no search space named 'mine'"):
        read_space("mine")


def test_fixed_and_machines_are_merged_leaf_by_leaf_and_the_rest_is_replaced(write: Make) -> None:
    write(
        base=BASE,
        mine=f"extends: base\n{MU}"
        "fixed: {training.epochs: 3, scores: [knn]}\n"
        "machines: {fan: {spectrogram.n_mels: null}, pump: {labels: both}}\n",
    )
    name, space = read_space("mine")
    assert (name, space.trials) == ("mine", 7)
    assert space.fixed == {"training": {"epochs": 3, "batch_size": 8}, "scores": ["knn"]}
    assert space.machines == {
        "fan": {"spectrogram": {"n_fft": 512, "n_mels": None}},
        "valve": {"backbone.width": 0.5},
        "pump": {"labels": "both"},
    }


def test_a_space_is_extended_by_its_siblings_first_and_may_add_to_the_carried_one(write: Make) -> None:
    folder = write(
        _part="trials: 3\n",
        quick="extends: quick\ntrials: 5\n",
        deep___part="trials: 4\n",
        deep__mine=f"extends: _part\n{MU}",
        deep__other=f"extends: ../_part.yaml\n{MU}",
    )
    assert read_space("deep/mine")[1].trials == 4
    assert read_space("deep/other")[1].trials == 3
    assert read_space(str(folder / "deep" / "mine.yaml")) == read_space("deep/mine")
    _, quick = read_space("quick")
    assert quick.trials == 5
    assert quick.fixed["backbone"] == {"width": 0.25}  # of the one that humtune carries
    with pytest.raises(UsageError) as caught:
        read_space("nothing")
    listed = str(caught.value).partition("there are: ")[2].split(", ")
    assert {"deep/mine", "deep/other", "quick", "paper/vanilla"} <= set(listed)
    assert not any("_part" in name for name in listed)


@pytest.mark.parametrize("page", ["README.md", "docs/spaces.md"])
def test_the_pages_show_spaces_that_work(tmp_path: Path, page: str) -> None:
    blocks = (Path(__file__).parents[3] / page).read_text(encoding="utf-8").split("```yaml\n")[1:]
    assert len(blocks) > 1
    for count, block in enumerate(blocks):
        text = block.partition("```")[0]
        path = tmp_path / f"shown-{count}.yaml"
        whole = "search:" in text or "extends:" in text
        path.write_text(text if whole else f"{text}search: {{labels: [section]}}\n")
        read_space(str(path))


# --- what a machine has for itself

MACHINES: dict[str, tuple[dict[str, Any], str]] = {
    "no mapping": ({"machines": {"fan": 3}}, "here: machines.fan = 3: should be a mapping"),
    "a misspelt key": (
        {"machines": {"fan": {"spectrogram": {"nfft": 256}}}},
        "here: machines.fan: spectrogram.nfft = 256: no such setting; did you mean spectrogram.n_fft?",
    ),
    "the budget": (
        {"machines": {"fan": {"training": {"epochs": 3}}}},
        "here: machines.fan: training.epochs: the budget is the same for every trial; put it in fixed",
    ),
    "a seed": ({"machines": {"fan": {"seed": 3}}}, "here: machines.fan: seed: every trial has its own"),
    "what is searched": (
        {"machines": {"fan": {"head": {"mu": 5}}}},
        "here: machines.fan: head.mu is both the machine's and searched; keep one",
    ),
    "what a preset sets": (
        {"machines": {"fan": {"labels": "both", "spectrogram.n_fft": 512}}},
        "here: machines.fan: spectrogram.n_fft is both the machine's and searched; keep one",
    ),
    "what does not go with what is searched": (
        {"machines": {"fan": {"head.kind": "arcface"}}},
        "here: machines.fan: search.head.mu can be 5: head.mu = 5: no such setting of the kind that is "
        "chosen",
    ),
}


@pytest.mark.parametrize("name", MACHINES)
def test_settings_of_a_machine_that_can_not_be_are_told(name: str) -> None:
    keys, said = MACHINES[name]
    search = {"head.mu": [5, 10], "spectrogram": {"presets": {"a": {"n_fft": 256}, "b": {}}}}
    with pytest.raises(UsageError) as caught:
        check_space({"search": search, **keys}, where="here")
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def machines_space(**keys: Any) -> Space:
    raw = {
        "fixed": {"spectrogram": {"n_fft": 1024, "chunk_frames": 16, "n_mels": 16}},
        "machines": {"fan": {"spectrogram": {"n_fft": 256, "n_mels": 256, "chunk_frames": 100}}},
        "search": {"head.mu": [5, 10]},
    }
    return check_space(raw | keys, where="here")


def test_a_machines_own_settings_lie_between_what_is_fixed_and_what_is_searched() -> None:
    space = machines_space()
    fan, valve = (space.recipe({"head.mu": 10}, machine=m, seed=4) for m in ("fan", "valve"))
    assert fan.spectrogram == Spectrogram(n_fft=256, chunk_frames=100, n_mels=256)
    assert valve.spectrogram == Spectrogram(n_fft=1024, chunk_frames=16, n_mels=16)
    assert (fan.head.mu, fan.seed) == (10, 4)
    assert [recipe.spectrogram.n_fft for _, recipe in sizes(space, "fan")] == [256]
    assert [recipe.spectrogram.n_fft for _, recipe in sizes(space, "valve")] == [1024]


def test_trials_have_their_machines_settings(bench: Make) -> None:
    search = bench()
    search.space = search.space.model_copy(update={"machines": {"fan": {"backbone": {"width": 0.25}}}})
    studies = search.studies()
    widths = {r.machine: r.settings["backbone.width"] for r in (studies.ask(), studies.ask())}
    assert widths == {"fan": 0.25, "fan-2": Classifier().backbone.width}


def test_recordings_are_held_against_their_machines_own_settings(table: Make) -> None:
    space = machines_space()
    for machine in ("valve", "fan"):
        clips = table(machine)
        lengths = np.full(len(clips), 16 * 512)
        if machine == "valve":
            check_fits(space, clips, lengths)
        else:
            with pytest.raises(UsageError, match=r"^fan: spectrogram.chunk_frames = 100 is longer than"):
                check_fits(space, clips, lengths)
    [line] = remarks(space, ["fan", "valve"])
    assert line.startswith("fan: ")
    assert " empty mel bands of 256 at n_fft = 256" in line


def test_a_machine_that_a_list_does_not_know_is_refused(table: Make) -> None:
    space = machines_space(sampler="listed", first=[{"machine": "fan", "head.mu": 5}])
    clips = table("valve")
    with pytest.raises(UsageError, match=r"^valve: the space lists no point for it; add one to `first` with"):
        check_fits(space, clips, np.full(len(clips), 160_000))
