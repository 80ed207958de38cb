"""Spaces: what is wrong with one is told by file, key, value and bound; those we carry are the paper's."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from humtune.detectors.classifier.heads import ArcFaceHead
from humtune.detectors.classifier.recipe import Classifier
from humtune.detectors.frontends import Spectrogram
from humtune.errors import UsageError
from humtune.search.space import Space, check_space, read_space
from humtune.search.space.dimensions import Choice, Presets, Range, places
from humtune.search.space.files import space_folders
from humtune.search.space.fit import corners
from humtune.search.space.overrides import override

CARRIED = Path(__file__).parents[3] / "search_spaces"
OF_THE_PAPER = sorted((CARRIED / "paper").glob("[!_]*.yaml"))
OF_TOYCAR = sorted((CARRIED / "toycar").glob("*.yaml"))
MU = "search: {head.mu: [5, 10]}\n"
HEADS = "{variational: {}, ce: {kind: cross_entropy}, arcface: {kind: arcface, scale: 16}}"
OPENING = (
    f"search: {{head: {{presets: {HEADS}, search: "
    "{variational: {mu: [5, 10], sigma2: {low: 0.02, high: 0.5, log: true}}, "
    "arcface: {margin: [0.2, 0.5]}}}}\n"
)

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "mine.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


# --- what can go wrong: the whole sentence after the file's name

BROKEN = {
    # the file
    "search: {head.mu: [5\n": " is not YAML: line 2: expected ',' or ']', but got '<stream end>'",
    "search:\n\thead.mu: [5]\n": " is not YAML: line 2: found character '\\t' that cannot start any token",
    "a: \x07": " is not YAML: unacceptable character",
    "search: !!python/object:os.system {}\n": " is not YAML: line 1: could not determine a constructor",
    "": " holds no settings; it wants keys like `search:` and `fixed:`",
    "hello\n": " holds no settings",
    "- head.mu\n": " holds no settings",
    f"{MU}search: {{head.sigma2: [0.1]}}\n": ": line 2: 'search' stands twice; keep one",
    "search:\n  head.mu: [5]\n  head.mu: [7]\n": ": line 3: search: 'head.mu' stands twice; keep one",
    # its keys
    "trials: 3\n": ": search is missing",
    "search: {}\n": ": search = {}: should not be empty",
    "search: [head.mu]\n": ": search = ['head.mu']: should be a mapping",
    "serach: {head.mu: [5]}\n": ": serach = {'head.mu': [5]}: no such setting; did you mean search?",
    f"{MU}zzz: 1\n": ": zzz = 1: no such setting",
    f"{MU}trials: 0\n": ": trials = 0 and shared_trials = 0: there is nothing to try",
    f"{MU}trials: many\n": ": trials = 'many': should be a valid integer",
    f"{MU}sampler: cmaes\n": (
        ": sampler = 'cmaes': should be 'tpe', 'gp', 'random', 'grid', 'listed' or 'bandit'"
    ),
    f"{MU}pruner: asha\n": (
        ": pruner = 'asha': should be 'none', 'successive_halving', 'median', 'hyperband' or 'wilcoxon'"
    ),
    f"{MU}grace: 0\n": ": grace = 0: should be greater than 0",
    f"{MU}grace: 1.5\n": ": grace = 1.5: should be less than or equal to 1",
    f"{MU}objective: loss\n": ": objective = 'loss': should be 'omega' or 'pseudo'",
    # what is fixed
    f"{MU}fixed: [training]\n": ": fixed = ['training']: should be a mapping",
    f"{MU}fixed: {{training: 3}}\n": ": fixed: training = 3: should be a mapping",
    f"{MU}fixed: {{traning: {{epochs: 3}}}}\n": (
        "fixed: traning = {'epochs': 3}: no such setting; did you mean training?"
    ),
    f"{MU}fixed: {{training: {{epoch: 3}}}}\n": (
        "fixed: training.epoch = 3: no such setting; did you mean training.epochs?"
    ),
    f"{MU}fixed: {{training.epochs: 0}}\n": (
        "fixed: training.epochs = 0: should be greater than or equal to 1"
    ),
    f"{MU}fixed: {{spectrogram: {{n_fft: 255}}}}\n": "n_fft must be even, got 255",
    f"{MU}fixed: {{scores: [cosin]}}\n": (": fixed: there is no score 'cosin'; there are cosine, nll, knn, "),
    f"{MU}fixed: {{scoring: {{pool: domain}}}}\n": (
        "fixed: scoring.pool = 'domain': should be 'machine' or 'section'"
    ),
    "search: {head: {presets: {a: {kind: arcfase}}}}\n": (
        ": search.head can be 'a': head = {'kind': 'arcfase'}: "
        "there is no head 'arcfase'; there are variational, cross_entropy, arcface,"
    ),
    "search: {head: {presets: {ce: {kind: cross_entropy, mu: 5}}}}\n": (
        ": search.head can be 'ce': head.mu = 5: no such setting"
    ),
    "search: {head: {presets: {ce: {kind: cross_entropy}}}}\nfixed: {scores: [nll]}\n": (
        ": search.head can be 'ce': a cross_entropy head can't give scores: nll; add one, such as cosine"
    ),
    f"{MU}fixed: {{seed: 4}}\n": ": seed: every trial has its own; set the space's `seed`, outside of fixed",
    f"{MU}fixed: {{head: {{mu: 3}}}}\n": ": head.mu is both fixed and searched; keep one",
    f"{MU}fixed: {{head.mu: 3}}\n": ": head.mu is both fixed and searched; keep one",
    # what is searched: how it is written
    "search: {head.mu: 5}\n": (
        ": search.head.mu = 5: should be a list of values, or {low: …, high: …}; a single value goes to fixed"
    ),
    "search: {head.mu: }\n": ": search.head.mu = None: should be a list of values",
    "search: {5: [5]}\n": ": line 1: search: a key should be text, got 5; write it in quotes",
    "search: {head.mu: []}\n": ": search.head.mu = []: should not be empty",
    "search: {training.milestones: [[0.5, 0.8], [0.2]]}\n": (
        ": search.training.milestones.0 = [0.5, 0.8]: should be one text, number"
    ),
    "search: {head.mu: {lo: 1, high: 5}}\n": ": search.head.mu.lo = 1: no such setting; did you mean low?",
    "search: {head.mu: {low: 1}}\n": ": search.head.mu.high is missing",
    "search: {head.mu: {low: one, high: 5}}\n": ": search.head.mu.low = 'one': should be a number",
    "search: {head.mu: {low: true, high: 5}}\n": ": search.head.mu.low = True: should be a number",
    "search: {head.mu: {low: .nan, high: 5}}\n": ": line 1: search.head.mu.low: .nan is no finite",
    "search: {head.mu: {low: 1, high: .inf}}\n": ": line 1: search.head.mu.high: .inf is no finite",
    "search: {head.mu: {low: 30, high: 5}}\n": "low = 30 is above high = 5",
    "search: {head.beta_class: {low: 0, high: 5, log: true}}\n": "log wants low > 0, got 0",
    "search: {head.mu: {low: 1, high: 5, log: true, step: 1}}\n": (
        "log and step can't go together; choose one"
    ),
    "search: {head.mu: {low: 1, high: 5, step: 0}}\n": "step = 0 should be greater than 0",
    "search: {head.mu: {low: 1.0, high: 5, step: -1}}\n": "step = -1 should be greater than 0",
    "search: {head.mu: {low: 1, high: 5, step: 0.5}}\n": (
        "step = 0.5 should be whole, like low and high; or write low: 1.0"
    ),
    "search: {head.mu: {low: 1, high: 5, step: 3}}\n": "steps of 3 from 1 don't lead to 5; high: 4 would do",
    "search: {head.mu: {low: 0.1, high: 0.75, step: 0.1}}\n": (
        "steps of 0.1 from 0.1 don't lead to 0.75; high: 0.7 would do"
    ),
    "search: {spectrogram: {presets: {}}}\n": ": search.spectrogram = {}: should not be empty",
    "search: {spectrogram: {presets: [a, b]}}\n": ": search.spectrogram = ['a', 'b']: should be a mapping",
    "search: {spectrogram: {presets: {a: 256}}}\n": ": search.spectrogram.a = 256: should be a mapping",
    "search: {spectrogram: {presets: {256: {n_fft: 256}}}}\n": (
        ": line 1: search.spectrogram.presets: a key should be text, got 256"
    ),
    "search: {spectrogram: {presets: {a: {n_fft: 256}}, low: 3}}\n": (
        ": search.spectrogram.low = 3: no such setting"
    ),
    "search: {spectrogram: {presets: {a: {n_fft: 256}}}, spectrogram.n_mels: [64]}\n": (
        ": search.spectrogram.n_mels lies within search.spectrogram; keep one"
    ),
    # what is searched: its values, all of them
    "fixed: {head.mu: 5}\nsearch: {head.mu.x: [5]}\n": (
        ": search.head.mu.x can be 5: head.mu.x = 5: mu is 5 already, which has no settings below it"
    ),
    "search: {head.muu: [5]}\n": (
        ": search.head.muu can be 5: head.muu = 5: no such setting; did you mean head.mu?"
    ),
    "search: {hed.mu: [5]}\n": "no such setting; did you mean head?",
    "search: {head.mu.x: [5]}\n": ": search.head.mu.x can be 5: should be a valid number",
    "search: {head: [5]}\n": ": search.head can be 5: should be a mapping",
    "search: {head.mu: [5, big]}\n": ": search.head.mu can be 'big': should be a valid number",
    "search: {labels: [section, attribute]}\n": (
        ": search.labels can be 'attribute': should be 'auto', 'section', 'attributes' or 'both'"
    ),
    "search: {head.sigma2: {low: 0, high: 1}}\n": ": search.head.sigma2 can be 0: should be greater than 0",
    "search: {backbone.width: {low: 0.5, high: 5.0}}\n": (
        ": search.backbone.width can be 5.0: should be less than or equal to 4"
    ),
    "search: {spectrogram.n_fft: {low: 256, high: 1024}}\n": (
        ": search.spectrogram.n_fft can be 257: n_fft must be even"
    ),
    "search: {spectrogram.n_fft: {low: 256, high: 1024, step: 3}}\n": (
        ": search.spectrogram.n_fft can be 259: n_fft must be even"
    ),
    "search: {spectrogram.n_fft: {low: 256.0, high: 1024.0}}\n": (
        "should be a valid integer, got a number with a fractional part"
    ),
    "search: {spectrogram: {presets: {a: {n_fft: 256}, b: {nfft: 256}}}}\n": (
        ": search.spectrogram can be 'b': spectrogram.nfft = 256: no such setting; "
        "did you mean spectrogram.n_fft?"
    ),
    "search: {spectrogram: {presets: {a: {n_fft: 8}}}}\n": (
        ": search.spectrogram can be 'a': spectrogram.n_fft = 8: should be greater than or equal to 16"
    ),
    "search: {head.mu: {presets: {a: {n_fft: 256}}}}\n": (
        ": search.head.mu can be 'a': head.mu = {'n_fft': 256}: should be a valid number"
    ),
    "search: {seed: [1, 2]}\n": ": seed: every trial has its own",
    "search: {training.epochs: [5, 10]}\n": (
        ": search.training.epochs: the budget is the same for every trial; put it in fixed"
    ),
    "search: {training: {presets: {a: {epochs: 3}}}}\n": (
        ": search.training can be 'a': the budget is the same for every trial; fix training.epochs"
    ),
    # what a preset opens
    f"search: {{head: {{presets: {HEADS}, search: {{arc: {{margin: [0.5]}}}}}}}}\n": (
        "search: there is no preset 'arc'; there are: variational, ce, arcface"
    ),
    f"search: {{head: {{presets: {HEADS}, shared: [arc]}}}}\n": (
        "shared: there is no preset 'arc'; there are: variational, ce, arcface"
    ),
    f"search: {{head: {{presets: {HEADS}, shared: [arcface, ce, variational]}}}}\n": (
        "shared: leaves machines' trials no preset; name fewer"
    ),
    f"search: {{head: {{presets: {HEADS}, search: {{arcface: {{scale: [8, 16]}}}}}}}}\n": (
        "preset 'arcface' both sets and searches scale; keep one"
    ),
    f"search: {{head: {{presets: {HEADS}, search: {{ce: {{mu: [5]}}}}}}}}\n": (
        ": search.head.mu can be 5: head.mu = 5: no such setting"
    ),
    f"search: {{head: {{presets: {HEADS}, search: {{variational: {{mu: {{low: 0, high: 5}}}}}}}}}}\n": (
        ": search.head.mu can be 0: should be greater than 0"
    ),
    f"search: {{head: {{presets: {HEADS}, search: {{variational: {{mu: {{lo: 1, high: 5}}}}}}}}}}\n": (
        ": search.head.search.variational.mu.lo = 1: no such setting; did you mean low?"
    ),
    f"search: {{head: {{presets: {HEADS}, search: {{variational: {{mu: 5}}}}}}}}\n": (
        ": search.head.search.variational.mu = 5: should be a list of values"
    ),
    f"search: {{head: {{presets: {HEADS}}}, head.mu: [5]}}\n": (
        ": search.head.mu lies within search.head; keep one"
    ),
    "fixed: {head: {mu: 5}}\nsearch: {head: {presets: {v: {}}, search: {v: {mu: [5]}}}}\n": (
        ": head.mu is both fixed and searched; keep one"
    ),
    "search: {training: {presets: {a: {}}, search: {a: {epochs: [5, 9]}}}}\n": (
        ": search.training.epochs: the budget is the same for every trial; put it in fixed"
    ),
    "search: {head: {presets: {a: {}, b: {}}, search: {a: {mu: [5]}, b: {mu: [5, 7]}}}}\n": (
        ": search.head.mu differs from preset to preset; search it alike in all"
    ),
    f"{OPENING}first: [{{head: ce, head.mu: 5}}]\n": (
        ": first point 1: head.mu = 5 is searched only with head: variational; say so beside it"
    ),
    f"{OPENING}first: [{{head.mu: 5}}]\n": ": head.mu = 5 is searched only with head: variational; say so",
    f"{OPENING}first: [{{head: variational, head.mu: 7}}]\n": (
        ": first point 1: head.mu = 7 lies outside its search: 5, 10"
    ),
    # first points
    f"{MU}first: {{head.mu: 5}}\n": ": first = {'head.mu': 5}: should be a list",
    f"{MU}first: [5]\n": ": first.0 = 5: should be a mapping",
    f"{MU}first: [{{head.mu: [5]}}]\n": ": first.0.head.mu = [5]: should be one text, number",
    f"{MU}first: [{{head.mu: 5}}, {{head.mu: 7}}]\n": (
        ": first point 2: head.mu = 7 lies outside its search: 5, 10"
    ),
    f"{MU}first: [{{head.sigma2: 0.1}}]\n": (
        ": first point 1: head.sigma2 = 0.1 is not searched; there are: head.mu"
    ),
    f"{MU}first: [{{machine: 3, head.mu: 5}}]\n": ": first point 1: machine = 3 should be a name; write '3'",
    "search: {head.mu: {low: 5, high: 10}}\nfirst: [{head.mu: 12}]\n": (
        "head.mu = 12 lies outside its search: 5 to 10, whole"
    ),
    "search: {head.mu: {low: 5, high: 10}}\nfirst: [{head.mu: 5.5}]\n": (
        "head.mu = 5.5 lies outside its search: 5 to 10, whole"
    ),
    "search: {head.mu: {low: 5.0, high: 9, step: 2}}\nfirst: [{head.mu: 6}]\n": (
        "head.mu = 6 lies outside its search: 5.0 to 9 in steps of 2"
    ),
    "search: {head.mu: {low: 5, high: 10}}\nfirst: [{head.mu: big}]\n": (
        "head.mu = 'big' lies outside its search"
    ),
    "search: {head.mu: {low: 5, high: 10, log: true}}\nfirst: [{head.mu: -1}]\n": (
        "head.mu = -1 lies outside its search"
    ),
    "search: {head.mu: {low: 5, high: 10}}\nfirst: [{head.mu: null}]\n": (
        "head.mu = None lies outside its search"
    ),
    "search: {spectrogram: {presets: {a: {n_fft: 256}}}}\nfirst: [{spectrogram: b}]\n": (
        "spectrogram = 'b' lies outside its search: a"
    ),
}


@pytest.mark.filterwarnings("error")  # a warning of Optuna's is no error message
@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_space_is_told_in_one_sentence(write: Write, text: str) -> None:
    path = write(text)
    with pytest.raises(UsageError) as caught:
        read_space(str(path))
    said = str(caught.value)
    assert said.startswith(str(path))
    assert BROKEN[text] in said
    assert "\n" not in said
    for jargon in ("pydantic", "Input", "dictionary", "tuple", "Distribution"):
        assert jargon not in said


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"^no search space at {tmp_path}/mine.yaml$"):
        read_space(f"{tmp_path}/mine.yaml")


def test_a_folder_is_no_space(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").mkdir()
    with pytest.raises(UsageError, match="no search space at"):
        read_space(f"{tmp_path}/mine.yaml")


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_bytes(b"\x80\x81")
    with pytest.raises(UsageError, match=r"mine.yaml is not UTF-8 text: "):
        read_space(f"{tmp_path}/mine.yaml")


def test_an_unknown_name_lists_those_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "search_spaces").mkdir()
    (tmp_path / "search_spaces" / "mine.yaml").write_text(MU)
    with pytest.raises(UsageError) as caught:
        read_space("quik")
    carried = [path.relative_to(CARRIED).with_suffix("").as_posix() for path in CARRIED.rglob("[!_]*.yaml")]
    there = ", ".join(sorted([*carried, "mine"]))
    assert str(caught.value) == f"no search space named 'quik'; there are: {there}"
    assert {"quick", "paper/vanilla", "systems/tiny/xvector"} <= {*carried}


def test_a_plan_that_is_no_space_is_told() -> None:
    with pytest.raises(UsageError, match=r"^plan of hums: search is missing$"):
        check_space({}, where="plan of hums")


# --- where spaces are found


def test_a_space_of_ones_own_goes_before_the_carried_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    carried = read_space("quick")
    assert carried[0] == "quick"
    assert carried[1].fixed["backbone"] == {"width": 0.25}
    (tmp_path / "search_spaces").mkdir()
    (tmp_path / "search_spaces" / "quick.yaml").write_text(MU)
    assert read_space("quick") == ("quick", Space.model_validate({"search": {"head.mu": [5, 10]}}))


def test_a_path_names_the_search_by_its_file(write: Write) -> None:
    assert read_space(str(write(MU)))[0] == "mine"
    assert any(folder.resolve() == CARRIED for folder in space_folders())


@pytest.mark.parametrize(
    "path", [*sorted(CARRIED.glob("*.yaml")), *OF_THE_PAPER, *OF_TOYCAR], ids=lambda p: p.stem
)
def test_every_carried_space_loads_and_says_what_it_is(path: Path) -> None:
    name, space = read_space(str(path))
    assert name == path.stem
    assert len(space.description) > 40
    assert check_space(json.loads(space.model_dump_json()), where="plan") == space


def test_toycars_folder_is_a_space_of_all_its_kinds_five_seeds_each() -> None:
    _, space = read_space("toycar")
    kinds = {str(run.params["family"]).split(" ")[0] for run in space.runs("ToyCar")}
    assert kinds == {path.stem for path in OF_TOYCAR}
    assert space.seeds == 5


# --- what the carried ones hold

TABLE_2 = {
    "ToyCar": (256, 512, 256, True),
    "ToyTrain": (128, 1024, 128, False),
    "bearing": (1024, 128, 512, True),
    "fan": (512, 256, 512, True),
    "gearbox": (400, 400, None, True),
    "slider": (128, 1024, 128, True),
    "valve": (512, 256, 512, False),
}
TABLE_4 = {  # mu, sigma2, beta_class
    "ToyCar": (5, 0.5, 1),
    "ToyTrain": (10, 0.05, 1),
    "bearing": (10, 0.2, 1),
    "fan": (10, 0.02, 10),
    "gearbox": (5, 0.02, 0.1),
    "slider": (10, 0.02, 1),
    "valve": (10, 0.1, 1),
}


def test_paper_searches_tables_2_to_4() -> None:
    _, space = read_space(str(CARRIED / "paper.yaml"))
    presets = space.search["spectrogram"]
    assert isinstance(presets, Presets)
    found = {n: Spectrogram.model_validate(p) for n, p in presets.presets.items()}
    assert {n: (s.n_fft, s.chunk_frames, s.n_mels, s.db) for n, s in found.items()} == TABLE_2
    values = {n: set(d.extremes()) for n, d in space.search.items() if n != "spectrogram"}
    assert values == {
        "head.mu": {5, 10, 20, 30},
        "head.sigma2": {0.02, 0.05, 0.1, 0.2, 0.5},
        "head.beta_class": {0.1, 1, 10},
    }
    recipe = space.recipe({})
    assert recipe.training == Classifier().training  # §4.1
    assert recipe.backbone == Classifier().backbone  # Table 1
    assert set(recipe.scores) == {"cosine", "nll"}


@pytest.mark.parametrize("machine", TABLE_4)
def test_papers_first_point_of_a_machine_is_its_best_of_table_4(machine: str) -> None:
    _, space = read_space(str(CARRIED / "paper.yaml"))
    [point] = space.first_points(machine)
    recipe = space.recipe(point)
    assert (recipe.head.mu, recipe.head.sigma2, recipe.head.beta_class) == TABLE_4[machine]
    s = recipe.spectrogram
    assert (s.n_fft, s.chunk_frames, s.n_mels, s.db) == TABLE_2[machine]
    assert space.first_points("drill") == []


def test_quick_is_quick_and_reaches_as_far_as_the_paper() -> None:
    _, space = read_space(str(CARRIED / "quick.yaml"))
    assert (space.trials, space.epochs) == (8, 8)
    for _, recipe in corners(space, "spectrogram", "backbone"):
        assert recipe.spectrogram.bins * recipe.spectrogram.chunk_frames <= 64 * 64
        assert recipe.backbone.width <= 0.25
    sigma2 = space.search["head.sigma2"]
    assert isinstance(sigma2, Range)
    assert (sigma2.low, sigma2.high, sigma2.log) == (0.02, 0.5, True)
    assert set(space.search["head.mu"].extremes()) == {5, 10, 20, 30}
    assert set(space.search["head.beta_class"].extremes()) == {0.1, 1, 10}
    assert len(space.first_points("any machine")) == 1


# --- what a space means


def make_space(**keys: Any) -> Space:
    return check_space({"search": {"head.mu": [5, 10]}, **keys}, where="here")


def test_each_kind_of_dimension_as_optuna_knows_it() -> None:
    space = make_space(
        search={
            "labels": ["section", "both"],
            "spectrogram": {"presets": {"a": {"n_fft": 256}, "b": {}}},
            "head.mu": {"low": 5, "high": 30},
            "head.sigma2": {"low": 0.02, "high": 0.5, "log": True},
            "backbone.embedding": {"low": 32, "high": 128, "step": 32},
            "training.mixup": {"low": 0, "high": 0.75, "step": 0.25},
        }
    )
    d = optuna.distributions
    assert space.distributions() == {
        "labels": d.CategoricalDistribution(("section", "both")),
        "spectrogram": d.CategoricalDistribution(("a", "b")),
        "head.mu": d.IntDistribution(5, 30),
        "head.sigma2": d.FloatDistribution(0.02, 0.5, log=True),
        "backbone.embedding": d.IntDistribution(32, 128, step=32),
        "training.mixup": d.FloatDistribution(0.0, 0.75, step=0.25),
    }


def test_a_point_becomes_a_recipe() -> None:
    space = make_space(
        fixed={"spectrogram": {"db": False, "n_mels": 64}, "training.epochs": 3, "head": {"sigma2": 0.2}},
        search={
            "spectrogram": {"presets": {"a": {"n_fft": 512, "n_mels": None}, "b": {}}},
            "head.mu": [5, 10],
        },
    )
    recipe = space.recipe({"spectrogram": "a", "head.mu": 10}, seed=7)
    assert recipe.spectrogram == Spectrogram(n_fft=512, n_mels=None, db=False)  # a preset on what is fixed
    assert (recipe.head.mu, recipe.head.sigma2, recipe.training.epochs, recipe.seed) == (10, 0.2, 3, 7)
    assert space.recipe({"spectrogram": "b"}).spectrogram == Spectrogram(n_mels=64, db=False)


def test_a_recipe_leaves_the_space_as_it_was() -> None:
    space = make_space(
        fixed={"head": {"sigma2": 0.2}},
        search={"training": {"presets": {"a": {"mixup": 0.5}}}, "head.mu": [5]},
    )
    before = space.model_dump_json()
    space.recipe({"training": "a", "head.mu": 5})
    list(corners(space, "training", "head"))
    assert space.model_dump_json() == before


def test_numbers_as_people_write_them(write: Write) -> None:
    _, space = read_space(
        str(
            write(
                "search:\n"
                "  training.learning_rate: {low: 1e-4, high: 1E-2, log: true}\n"
                "  training.mixup: [1e-1, 2]\n"
                "  spectrogram.n_mels: [null, 64]\n"
                "  spectrogram.db: [yes, no]\n"
                "first: [{training.learning_rate: 1e-3, training.mixup: 0.1}]\n"
            )
        )
    )
    assert space.search["training.learning_rate"] == Range(low=1e-4, high=1e-2, log=True)
    assert space.search["training.mixup"] == Choice(values=(0.1, 2))
    assert space.search["spectrogram.n_mels"] == Choice(values=(None, 64))
    assert space.search["spectrogram.db"] == Choice(values=(True, False))
    assert space.first == ({"training.learning_rate": 0.001, "training.mixup": 0.1},)


def test_branches_may_be_shared_by_reference(write: Write) -> None:
    text = "search: {spectrogram: {presets: {a: &a {n_fft: 512}, b: {<<: *a, db: false}}}}"
    _, space = read_space(str(write(text)))
    assert space.recipe({"spectrogram": "b"}).spectrogram == Spectrogram(n_fft=512, db=False)


def test_first_points_are_for_one_machine_or_for_all() -> None:
    points = [{"head.mu": 5}, {"machine": "fan", "head.mu": 10}, {"machine": "valve", "head.mu": 5}]
    space = make_space(first=points)
    assert space.first_points("fan") == [{"head.mu": 5}, {"head.mu": 10}]
    assert space.first_points("slider") == [{"head.mu": 5}]


def test_a_space_of_every_kind_survives_the_plan() -> None:
    space = make_space(
        trials=7,
        sampler="random",
        pruner="median",
        grace=0.25,
        seed=3,
        description="größer",
        fixed={"training": {"milestones": [0.5]}, "labels": "section"},
        search={
            "spectrogram": {"presets": {"a": {"n_mels": None}, "b": {"db": False}}},
            "head.mu": [5, 10.0, 20],
            "head.sigma2": {"low": 0.02, "high": 1, "log": True},
            "backbone.embedding": {"low": 32, "high": 64, "step": 16},
        },
        first=[{"machine": "fan", "head.mu": 10.0, "spectrogram": "b"}],
    )
    again = check_space(json.loads(json.dumps(space.model_dump(mode="json"))), where="plan")
    assert again == space
    assert again.distributions() == space.distributions()
    assert [type(v) for v in again.search["head.mu"].extremes()] == [int, float, int]


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from(["head.mu", "head.sigma2", "training.learning_rate"]),
    st.floats(1e-6, 1e6),
    st.floats(1e-6, 1e6),
    st.booleans(),
)
def test_any_range_survives_the_plan_and_is_drawn_from(
    name: str, one: float, other: float, log: bool
) -> None:
    low, high = sorted((one, other))
    space = check_space({"search": {name: {"low": low, "high": high, "log": log}}}, where="here")
    assert check_space(json.loads(space.model_dump_json()), where="plan") == space
    drawn = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask(space.distributions())
    assert low <= drawn.params[name] <= high
    space.recipe(drawn.params)


# --- rungs and corners


@pytest.mark.parametrize(
    ("epochs", "grace", "rungs"),
    [
        (50, 0.3, (15, 30)),
        (50, 0.1, (5, 10, 20, 40)),
        (50, 0.02, (1, 2, 4, 8, 16, 32)),
        (8, 0.25, (2, 4)),
        (8, 0.5, (4,)),
        (8, 1.0, ()),
        (3, 0.3, (1, 2)),
        (2, 0.01, (1,)),
        (1, 0.3, ()),
    ],
)
def test_rungs_double_from_the_grace_and_never_reach_the_end(
    epochs: int, grace: float, rungs: tuple[int, ...]
) -> None:
    space = make_space(fixed={"training": {"epochs": epochs}}, grace=grace, pruner="median")
    assert space.rungs == rungs
    assert space.epochs == epochs
    unpruned = make_space(fixed={"training": {"epochs": epochs}}, grace=grace, pruner="none")
    assert unpruned.rungs == unpruned.measured == ()


@pytest.mark.parametrize(
    ("keys", "stopped_by"),
    [
        ({"trials": 19}, "none"),
        ({"trials": 20}, "successive_halving"),
        ({"sampler": "random"}, "successive_halving"),  # twenty, where nobody says
        ({"sampler": "grid"}, "none"),  # whoever wants a grid wants all of it
        ({"trials": 20, "pruner": "none"}, "none"),
        ({"trials": 5, "pruner": "median"}, "median"),
        ({"sampler": "grid", "pruner": "hyperband"}, "hyperband"),
    ],
)
def test_trials_are_stopped_early_where_there_are_enough_to_compare(
    keys: dict[str, Any], stopped_by: str
) -> None:
    space = make_space(**keys)
    assert space.stopped_by == stopped_by
    assert bool(space.rungs) == (stopped_by != "none")


def test_curves_are_measured_at_every_epoch_and_stop_nothing_more() -> None:
    fixed = {"training": {"epochs": 8}}
    assert make_space(fixed=fixed, curves=True, pruner="none").measured == (1, 2, 3, 4, 5, 6, 7)
    stopping = make_space(fixed=fixed, curves=True, pruner="successive_halving", grace=0.25)
    assert (stopping.rungs, stopping.measured) == ((2, 4), (1, 2, 3, 4, 5, 6, 7))


def test_a_test_of_curves_looks_at_every_epoch_after_the_grace() -> None:
    assert make_space(fixed={"training": {"epochs": 8}}, pruner="wilcoxon", grace=0.5).rungs == (4, 5, 6, 7)


def test_corners_are_the_extremes_of_some_branches() -> None:
    space = make_space(
        search={
            "spectrogram.n_fft": {"low": 128, "high": 512, "step": 2},
            "spectrogram.n_mels": [32, 64, 128],
            "backbone.width": {"low": 0.25, "high": 1.0},
            "head.mu": [5, 10],
        }
    )
    found = [(c.spectrogram.n_fft, c.spectrogram.n_mels) for _, c in corners(space, "spectrogram")]
    assert found == [(n, m) for n in (128, 512) for m in (32, 64, 128)]
    assert [params for params, _ in corners(space, "backbone")] == [
        {"backbone.width": 0.25},
        {"backbone.width": 1.0},
    ]
    assert len(list(corners(space, "spectrogram", "backbone"))) == 12
    assert [params for params, _ in corners(space, "training")] == [{}]
    assert len(list(corners(space, "backbone.width", "head.mu"))) == 4
    assert len(list(corners(space, "backbone.embedding"))) == 1


def test_a_preset_has_a_part_in_everything_below_its_branch() -> None:
    space = make_space(search={"training": {"presets": {"a": {"batch_size": 8}, "b": {}}}, "head.mu": [5]})
    assert [p for p, _ in corners(space, "training.batch_size")] == [{"training": "a"}, {"training": "b"}]
    assert [p for p, _ in corners(space, "train")] == [{}]


# --- what a preset opens


def test_a_preset_opens_what_is_searched_below_it(write: Write) -> None:
    _, space = read_space(str(write(f"fixed: {{training.epochs: 3}}\n{OPENING}")))
    assert list(space.distributions()) == ["head", "head.mu", "head.sigma2", "head.margin"]
    points = {}
    for preset in ("variational", "ce", "arcface"):
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        study.enqueue_trial({"head": preset})
        trial = study.ask()
        points[preset] = space.draw(lambda name, d, trial=trial: trial._suggest(name, d))
    assert {name: list(point) for name, point in points.items()} == {
        "variational": ["head", "head.mu", "head.sigma2"],
        "ce": ["head"],
        "arcface": ["head", "head.margin"],
    }
    kinds = {name: space.recipe(point).head.kind for name, point in points.items()}
    assert kinds == {"variational": "variational", "ce": "cross_entropy", "arcface": "arcface"}
    head = space.recipe({"head.margin": 0.2, "head": "arcface"}).head  # in whichever order
    assert head == ArcFaceHead(margin=0.2, scale=16)
    assert check_space(json.loads(space.model_dump_json()), where="plan") == space


def test_corners_open_what_their_preset_opens(write: Write) -> None:
    _, space = read_space(str(write(OPENING)))
    assert [params for params, _ in corners(space, "head")] == [
        *({"head": "variational", "head.mu": mu, "head.sigma2": s} for mu in (5, 10) for s in (0.02, 0.5)),
        {"head": "ce"},
        *({"head": "arcface", "head.margin": margin} for margin in (0.2, 0.5)),
    ]
    assert len(list(corners(space, "head.margin"))) == 4
    assert [params for params, _ in corners(space, "spectrogram")] == [{}]


def test_two_presets_each_open_their_own() -> None:
    space = make_space(
        search={
            "spectrogram": {
                "presets": {"mel": {}, "linear": {"n_mels": None}},
                "search": {"mel": {"n_mels": [32, 64]}, "linear": {"db": [True, False]}},
            },
            "head.mu": [5, 10],
        }
    )
    assert len(list(corners(space, "spectrogram", "head"))) == 8
    assert space.recipe({"spectrogram.db": False, "spectrogram": "linear"}).spectrogram.n_mels is None


def test_presets_may_open_presets() -> None:
    size = {"presets": {"small": {}, "large": {}}, "search": {"large": {"x": [1, 2]}}}
    found = places({"a": Presets.model_validate({"presets": {"b": {}}, "search": {"b": {"size": size}}})})
    assert [(p.name, p.given) for p in found] == [
        ("a", {}),
        ("a.size", {"a": "b"}),
        ("a.size.x", {"a": "b", "a.size": "large"}),
    ]


def test_a_name_that_two_presets_open_alike_is_one_dimension() -> None:
    below = {"mu": [5, 10]}
    space = make_space(
        search={
            "head": {
                "presets": {"a": {"sigma2": 0.1}, "b": {}, "c": {"kind": "arcface"}},
                "search": {"a": below, "b": below},
            }
        },
        first=[{"head": "b", "head.mu": 10}],
    )
    assert list(space.distributions()) == ["head", "head.mu"]
    assert [len(p) for p, _ in corners(space, "head")] == [2, 2, 2, 2, 1]


# --- what the command line says differently


def test_the_command_line_goes_before_the_space() -> None:
    space = make_space(
        search={"head.mu": [5, 10], "labels": ["section", "both"]},
        first=[{"head.mu": 5, "labels": "both"}],
        trials=3,
    )
    changed = override(space, trials=9, settings={"labels": "attributes"})
    assert changed.trials == 9
    assert changed.recipe({"head.mu": 5}).labels == "attributes"
    assert list(changed.search) == ["head.mu"]
    assert changed.first == ({"head.mu": 5},)
    assert override(space) == space
    assert (
        override(make_space(fixed={"labels": "both"}), settings={"labels": "section"}).recipe({}).labels
        == "section"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"trials": 0}, "command line: trials = 0"),
        ({"settings": {"labels": "sections"}}, "labels = 'sections': should be 'auto'"),
    ],
)
def test_the_command_line_may_be_wrong(words: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        override(make_space(), **words)
