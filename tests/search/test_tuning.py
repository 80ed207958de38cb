"""Machines' trials that start from a shared trial's encoder: which one, with what weights, and after it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from loop import Loop, search, studies_of

from humtune.config import SHARED
from humtune.detectors.classifier.fit import ClassifierFit
from humtune.detectors.detector import Detector
from humtune.detectors.recipe import Recipe, recipe_of
from humtune.errors import HumtuneError, UsageError
from humtune.ledger import Ledger
from humtune.records import TrialState
from humtune.search import run
from humtune.search.space import Space, check_space, files, read_space
from humtune.search.timing import sizes
from humtune.search.trial import start_trial
from humtune.search.warm import point_of
from humtune.sounds.synthetic import Sizes, synthesise
from humtune.storage import Storage
from humtune.testing.recordings import small_bank

FIXED = {
    "spectrogram": {"n_fft": 256, "chunk_frames": 16},
    "backbone": {"width": 0.125, "embedding": 16},
    "training": {"epochs": 2, "batch_size": 16, "chunks_per_clip": 1},
    "scores": ["cosine"],
}
SEARCHED = {
    "spectrogram.n_mels": [16, 24],
    "training": {"presets": {"anew": {}, "tuned": {"start": "shared", "learning_rate": 1e-4}}},
}

Make = Callable[..., Ledger]


pytestmark = pytest.mark.usefixtures("trials_here")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings") / "data"
    sizes = Sizes(sections=2, train_source=12, train_target=3, test_per_cell=3, seconds=0.6)
    synthesise(folder, machines=("fan", "valve"), sizes=sizes)
    return folder


def make_space(**keys: Any) -> Space:
    raw = {"trials": 2, "shared_trials": 2, "fixed": FIXED, "search": SEARCHED, "sampler": "random"}
    first = [{"machine": m, "training": "tuned"} for m in ("fan", "valve")]
    return check_space(raw | {"first": first} | keys, where="here")


@pytest.fixture
def prepared(recordings: Path, tmp_path: Path) -> Make:
    def make(name: str = "hums", **keys: Any) -> Ledger:
        storage = Storage(tmp_path / "runs")
        return run.prepare(make_space(**keys), name=name, data=recordings, storage=storage)

    return make


# --- what is taken over


def classifier(**head: Any) -> Recipe:
    return recipe_of(
        FIXED
        | {
            "spectrogram": {"n_fft": 256, "chunk_frames": 16, "n_mels": 16},
            "head": {"kind": "variational"} | head,
            "seed": 3,
        }
    )


@pytest.mark.parametrize("kind", ["variational", "cross_entropy", "arcface"])
def test_a_fit_starts_from_the_weights_of_another_encoder(kind: str) -> None:
    """All but the classes' own weights; the classes are the machine's, as the seed makes them."""
    shared = classifier(kind=kind).start(small_bank("valve"))
    shared.step()
    bank = small_bank("fan", sections=2)
    anew, tuned = classifier(kind=kind).start(bank), classifier(kind=kind).start(bank)
    assert isinstance(tuned, ClassifierFit)
    tuned.start_from(shared.encoder)
    theirs, before = shared.encoder.state_dict(), anew.encoder.state_dict()
    own = {"head.to_class.weight", "head.to_class.bias", "head.class_means", "head.weight"}
    for name, tensor in tuned.encoder.state_dict().items():
        assert torch.equal(tensor, (before if name in own else theirs)[name]), name
    assert tuned.encoder.classes == ("section_00", "section_01")
    assert tuned.step()["loss"] != anew.step()["loss"]


def test_another_head_has_an_embedding_of_its_own() -> None:
    shared = classifier().start(small_bank("valve"))
    tuned = classifier(kind="arcface").start(small_bank("fan"))
    tuned.start_from(shared.encoder)
    for name, tensor in tuned.encoder.backbone.state_dict().items():
        assert torch.equal(tensor, shared.encoder.backbone.state_dict()[name])


def test_a_family_without_a_network_can_not_start_from_one() -> None:
    bank = small_bank()
    fit = recipe_of({"family": "noop"}).start(bank)
    with pytest.raises(HumtuneError, match="the family noop can't start from another trial's encoder"):
        fit.start_from(classifier().start(bank).encoder)


# --- in a search


def test_machines_trials_start_from_the_best_shared_one(prepared: Make) -> None:
    ledger = prepared()
    search(ledger)
    found = list(ledger.records())
    assert {r.state for r in found} == {TrialState.COMPLETE}
    shared = [r for r in found if r.machine == SHARED]
    best = max(shared, key=lambda r: (r.objective, -r.number))
    assert all(r.ended is not None for r in shared)
    tuned = [r for r in found if r.params.get("training") == "tuned" and r.machine != SHARED]
    assert {r.machine for r in tuned} == {"fan", "valve"}
    for record in tuned:
        assert record.started_from == best.id
        assert record.started > max(r.ended or 0 for r in shared)
        assert "spectrogram.n_mels" not in record.params  # it is the shared trial's
        recipe, network = recipe_of(record.config), recipe_of(best.config)
        assert (recipe.spectrogram, recipe.backbone) == (network.spectrogram, network.backbone)
        assert (recipe.training.start, recipe.training.learning_rate) == ("shared", 1e-4)
    for record in shared:
        assert record.started_from is None
        assert recipe_of(record.config).training.start is None
        assert "spectrogram.n_mels" in record.params


def test_a_tuned_trial_is_what_a_fit_by_hand_gives(prepared: Make) -> None:
    ledger = prepared(trials=1, shared_trials=1)
    search(ledger)
    record = ledger.read("fan-00000")
    assert record.started_from
    bank = ledger.bank("fan")
    fit = recipe_of(record.config).start(bank)
    data = ledger.storage.read(ledger.layout.detector(record.started_from))
    fit.start_from(Detector.from_bytes(data).encoder)
    detector = fit.run()
    kept = Detector.from_bytes(ledger.storage.read(ledger.layout.detector(record.id)))
    for name, tensor in detector.encoder.state_dict().items():
        assert torch.equal(tensor, kept.encoder.state_dict()[name]), name


def test_which_shared_trial_is_the_best_is_known_when_all_have_ended(prepared: Make) -> None:
    ledger = prepared(trials=1, shared_trials=2)
    studies = studies_of(ledger)
    searcher = Loop(studies, ledger.plan.asked.resources).searcher
    first, second = (start_trial(searcher.suggest(name)) for name in ("a", "b"))
    for slow, trial in ((True, second), (False, first)):
        assert studies.ask() is None
        while trial.epoch().state == TrialState.RUNNING:
            assert studies.ask() is None
        studies.end(ledger.read(trial.record.id))
        assert (studies.ask() is None) == slow


def test_a_search_whose_trials_start_shared_keeps_its_shared_trials(prepared: Make) -> None:
    ledger = prepared(trials=1, shared_trials=1)
    before = ledger.plan
    with pytest.raises(UsageError, match="shared trials = 0: trials of this search start from shared ones"):
        run.want(ledger, shared_trials=0)
    assert ledger.plan == before


def test_a_folders_trials_start_from_the_shared_ones_of_their_space(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside a space that has none; each as it would be if its space were searched by itself."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(files, "space_folders", lambda: [tmp_path / "spaces"])
    tuned = {
        "fixed": FIXED | {"training": FIXED["training"] | {"start": "shared", "learning_rate": 1e-4}},
        "machines": {SHARED: {"training": {"epochs": 3, "learning_rate": 1e-3}}},
        "search": {"spectrogram.n_mels": [16, 24]},
    }
    cheap = {"fixed": {"family": "gaussian_mixture", "n_mels": 16}, "search": {"components": [1, 2]}}
    folder = tmp_path / "spaces" / "both"
    folder.mkdir(parents=True)
    other = {"trials": 0, "shared_trials": 1, "fixed": FIXED, "search": {"spectrogram.n_mels": [16]}}
    spaces = {"tuned": tuned | {"shared_trials": 2}, "cheap": cheap, "other": other}
    for name, keys in spaces.items():
        text = json.dumps({"sampler": "grid", **keys})  # which is YAML
        (folder / f"{name}.yaml").write_text(text)
    found = {}
    for name in ("both", "both/tuned"):
        _, space = read_space(name)
        storage = Storage(tmp_path / "runs")
        ledger = run.prepare(space, name=name.replace("/", "-"), data=recordings, storage=storage)
        search(ledger)
        found[name] = list(ledger.records())
        assert {r.state for r in found[name]} == {TrialState.COMPLETE}, [r.reason for r in found[name]]
    together = {
        machine: [r for r in found["both"] if r.machine == machine] for machine in ("fan", "valve", SHARED)
    }
    assert {m: len(records) for m, records in together.items()} == {"fan": 3, "valve": 3, SHARED: 3}
    *theirs, others = sorted(together[SHARED], key=lambda r: "other" in str(r.params["family"]))
    assert [r.params["family"] for r in (*theirs, others)] == [
        "tuned shared n_mels=16",
        "tuned shared n_mels=24",
        "other shared",
    ]
    best = max(theirs, key=lambda r: (r.objective, -r.number))
    assert [(r.params["family"], r.started_from) for r in together["valve"]] == [
        ("cheap components=1", None),
        ("cheap components=2", None),
        ("tuned", best.id),
    ]
    alone = {r.machine: r.omega for r in found["both/tuned"] if r.machine != SHARED}
    assert {m: together[m][-1].omega for m in ("fan", "valve")} == alone
    ledger = Ledger.open(Storage(tmp_path / "runs"), "both")
    ledger.write(others.model_copy(update={"omega": {"cosine": 1.0}}))
    studies = studies_of(ledger)
    for point, start in (({"family": "tuned"}, best), ({}, others)):
        found_start = studies._best_shared("classifier", point)
        assert found_start
        assert found_start.id == start.id


def leave_half_done(ledger: Ledger) -> None:
    """Search until the fan's trial, the first after the shared one, has made an epoch; the process dies."""
    studies = studies_of(ledger)
    loop = Loop(studies, ledger.plan.asked.resources)
    config = loop.searcher.suggest("")
    assert config["trial"] == "shared-00000"
    assert studies.ask() is None  # the others wait for it
    trial = start_trial(config)
    while trial.epoch().state == TrialState.RUNNING:
        pass
    studies.end(ledger.read("shared-00000"))
    record = studies.ask()
    assert record
    assert (record.id, record.started_from) == ("fan-00000", "shared-00000")
    start_trial(loop.searcher.trial_config(record)).epoch()


def test_a_killed_tuned_trial_goes_on_from_the_same_start(prepared: Make) -> None:
    """Though a better shared trial has ended since: the record says where it started, before it begins."""
    whole, broken = prepared(trials=1, shared_trials=1), prepared("broken", trials=1, shared_trials=1)
    search(whole)
    leave_half_done(broken)
    better = broken.read("shared-00000").model_copy(
        update={"id": "shared-00001", "number": 1, "omega": {"cosine": 1.0}}
    )
    broken.write(better)
    search(broken)
    one, other = (ledger.read("fan-00000") for ledger in (whole, broken))
    assert other.started_from == "shared-00000"
    assert one.omega == other.omega
    assert broken.read("valve-00000").started_from == "shared-00001"


def test_without_a_complete_shared_trial_those_that_want_one_fail(prepared: Make) -> None:
    ledger = prepared(trials=1, shared_trials=1)
    studies = studies_of(ledger)
    record = studies.ask()
    assert record
    assert record.machine == SHARED
    failed = record.model_copy(update={"state": TrialState.FAILED, "reason": "x", "ended": record.started})
    ledger.write(failed)
    studies.end(failed)
    Loop(studies, ledger.plan.asked.resources).fit()
    for machine in ("fan", "valve"):
        (found,) = ledger.records(machine)
        assert found.state == TrialState.FAILED
        assert found.reason == "no shared trial of the family classifier is complete to start from"


def failing(ledger: Ledger) -> str:
    """Search, and say why the fan's one trial failed; the valve's is as it would be."""
    search(ledger)
    (found,) = ledger.records("fan")
    assert (found.state, found.started_from) == (TrialState.FAILED, "shared-00000")
    return str(found.reason)


@pytest.mark.parametrize(
    ("content", "said"), [(None, "is missing"), (b"PK\x03\x04torn", "is damaged"), (b"", "is damaged")]
)
def test_a_lost_or_damaged_start_fails_the_trials_that_want_it(
    prepared: Make, content: bytes | None, said: str
) -> None:
    ledger = prepared(trials=0, shared_trials=1)
    search(ledger)
    name = ledger.layout.detector("shared-00000")
    if content is None:
        ledger.storage.delete(name)
    else:
        ledger.storage.write(name, content)
    ledger.write_plan(ledger.plan.asking(trials=1))
    assert failing(ledger) == f"it starts from shared-00000: {ledger.storage.uri}/{name} {said}"


def test_a_start_with_another_network_fails_the_trial(prepared: Make) -> None:
    ledger = prepared(trials=0, shared_trials=1)
    search(ledger)
    other = recipe_of({"spectrogram": {"n_fft": 512, "chunk_frames": 16}, "backbone": {"width": 0.125}})
    other = other.start(small_bank("valve")).finish()
    ledger.storage.write(ledger.layout.detector("shared-00000"), other.to_bytes())
    ledger.write_plan(ledger.plan.asking(trials=1))
    assert "holds another network than the trial's" in failing(ledger)


def test_a_half_done_tuned_trial_goes_on_without_its_start(prepared: Make) -> None:
    """Its checkpoint holds all that it needs; a shared trial's weights are read once."""
    whole, broken = prepared(trials=1, shared_trials=1), prepared("broken", trials=1, shared_trials=1)
    search(whole)
    resources = broken.plan.asked.resources.model_copy(update={"checkpoint_seconds": 0.0})
    broken.write_plan(broken.plan.asking(resources=resources))
    leave_half_done(broken)
    broken.storage.delete(broken.layout.detector("shared-00000"))
    search(broken)
    one, other = (ledger.read("fan-00000") for ledger in (whole, broken))
    assert other.continued == (1,)
    assert one.omega == other.omega
    assert broken.read("valve-00000").state == TrialState.FAILED


def test_more_trials_after_the_search_start_from_the_best_at_that_time(prepared: Make) -> None:
    ledger = prepared(trials=1, shared_trials=1)
    search(ledger)
    ledger.write_plan(ledger.plan.asking(trials=2, shared_trials=2))
    studies = search(ledger)
    best = max(ledger.records(SHARED), key=lambda r: (r.objective, -r.number))
    starts = [(r.params["training"], r.started_from) for r in ledger.records("fan")]
    assert starts[0] == ("tuned", "shared-00000")
    assert starts[1] in [("tuned", best.id), ("anew", None)]
    assert studies.over
    assert max(r.ended or 0 for r in ledger.records(SHARED)) < ledger.read("fan-00001").started


def test_new_seeds_start_where_the_configuration_did(prepared: Make) -> None:
    ledger = prepared(trials=1, shared_trials=1)
    search(ledger)
    ledger.write_plan(ledger.plan.asking(confirm=1, confirm_seeds=2))
    search(ledger)
    again = [r for r in ledger.records("fan") if r.origin == "confirm"]
    assert [(r.state, r.started_from) for r in again] == [(TrialState.COMPLETE, "shared-00000")] * 2
    assert len({r.seed for r in again}) == 2


# --- spaces


@pytest.mark.parametrize(
    ("keys", "at"),
    [
        (
            {"machines": {"shared": {"training.start": "shared"}}, "search": {"head.mu": [5]}},
            "machines.shared",
        ),
        ({"first": [{"training": "anew"}, {"machine": "shared", "training": "tuned"}]}, "first point 2"),
    ],
)
def test_a_shared_trial_that_would_start_from_one_is_refused(keys: dict[str, Any], at: str) -> None:
    with pytest.raises(UsageError, match=f"here: {at}: training.start = shared: a shared trial starts anew"):
        make_space(**({"first": []} | keys))


def test_a_machine_alone_has_no_shared_trial_to_start_from(recordings: Path, tmp_path: Path) -> None:
    """And isn't sent to --shared-trials 0, which would be refused too."""
    said = "there is fan alone; search a space without shared trials and training.start"
    with pytest.raises(UsageError, match=said):
        run.prepare(
            make_space(first=[]), name="x", data=recordings, storage=Storage(tmp_path), machines=["fan"]
        )


def test_what_is_timed_of_shared_trials_starts_anew() -> None:
    space = make_space()
    assert [params for params, _ in sizes(space, SHARED)] == [
        {"training": "anew", "spectrogram.n_mels": n_mels} for n_mels in (16, 24)
    ]
    assert {params["training"] for params, _ in sizes(space, "fan")} == {"anew", "tuned"}


def test_a_start_without_shared_trials_is_refused() -> None:
    said = r"training.start = shared: the search has no shared trials to start from; say how many in shared_"
    with pytest.raises(UsageError, match=said):
        make_space(shared_trials=0)
    with pytest.raises(UsageError, match=said):
        make_space(shared_trials=0, search={"training.start": [None, "shared"]}, first=[])


def test_a_grid_has_a_tuned_point_once() -> None:
    space = make_space(
        sampler="grid",
        trials=None,
        first=[],
        search={"spectrogram.n_mels": [16, 24], "training.start": [None, "shared"]},
    )
    assert [r.params for r in space.runs("fan")] == [
        {"spectrogram.n_mels": 16, "training.start": None},
        {"training.start": "shared"},
        {"spectrogram.n_mels": 24, "training.start": None},
    ]
    assert [r.params for r in space.runs(SHARED)] == [
        {"spectrogram.n_mels": 16, "training.start": None},
        {"spectrogram.n_mels": 24, "training.start": None},
    ]


def test_a_shared_trial_chooses_among_presets_that_start_anew() -> None:
    space = make_space()
    options: dict[str, Any] = {}

    def choose(name: str, distribution: Any) -> Any:
        options[name] = distribution.choices
        return distribution.choices[-1]

    assert space.draw(choose, study=SHARED) == {"training": "anew", "spectrogram.n_mels": 24}
    assert options["training"] == ("anew",)
    assert space.draw(choose, study="fan") == {"training": "tuned"}
    assert make_space(first=[{"training": "tuned"}]).first_points(SHARED) == []


def test_a_fixed_start_is_of_machines_alone() -> None:
    fixed = FIXED | {"training": FIXED["training"] | {"start": "shared"}}
    space = make_space(fixed=fixed, search={"head.mu": [5, 10], "spectrogram.n_mels": [16, 24]}, first=[])
    assert space.starting_shared == {"classifier"}
    drawn = {
        study: set(space.draw(lambda name, d: 5 if "mu" in name else 16, study=study))
        for study in ("fan", SHARED)
    }
    assert drawn == {"fan": {"head.mu"}, SHARED: {"head.mu", "spectrogram.n_mels"}}
    assert space.recipe({}, machine="fan").starts_shared
    assert not space.recipe({}, machine=SHARED).starts_shared


def test_a_family_that_always_starts_from_a_shared_trial_is_shared_anew() -> None:
    fixed = {"scores": ["cosine"], "spectrogram": {"n_fft": 256}}
    families = {"classifier": {"training.start": "shared", "training.epochs": 2}}
    space = make_space(fixed=fixed, search={"family": {"presets": families}}, first=[])
    assert space.draw(lambda name, d: d.choices[0], study=SHARED) == {"family": "classifier"}
    assert not space.recipe({"family": "classifier"}, machine=SHARED).starts_shared
    assert space.recipe({"family": "classifier"}, machine="fan").starts_shared


def test_what_a_preset_opens_is_chosen_after_what_the_trial_starts_from() -> None:
    opened = {"backbone.width": [0.125, 0.25], "training.start": [None, "shared"]}
    families = {"presets": {"classifier": {"training.epochs": 2}}, "search": {"classifier": opened}}
    fixed = {"scores": ["cosine"]}
    space = make_space(fixed=fixed, search={"family": families, "head.mu": [5, 10]}, first=[])

    def draw(start: str | None) -> list[str]:
        return list(
            space.draw(lambda name, d: start if name == "training.start" else d.choices[0], study="fan")
        )

    assert draw("shared") == ["family", "training.start", "head.mu"]  # the width is the shared trial's
    assert draw(None) == ["family", "training.start", "backbone.width", "head.mu"]
    tuned = space.recipe({"family": "classifier", "training.start": "shared", "head.mu": 10}, machine="fan")
    assert point_of(space, tuned.model_dump(mode="json"), "fan") == {
        "family": "classifier",
        "training.start": "shared",
        "head.mu": 10,
    }
    assert point_of(space, tuned.model_dump(mode="json"), SHARED) is None  # none of those starts so


@pytest.mark.parametrize(
    ("points", "at"),
    [
        ([{"head.kind": "arcface"}], "first point 1"),
        (
            [{"head.kind": "arcface", "backbone.width": 0.25}, {"machine": SHARED, "head.kind": "arcface"}],
            "first point 2",
        ),
    ],
)
def test_a_listed_point_says_what_shared_trials_choose_too(points: list[Any], at: str) -> None:
    """A machine's trial takes the width over, a shared one has to have it."""
    fixed = {"scores": ["cosine"], "training": {"epochs": 2, "start": "shared"}}
    search = {"head.kind": ["arcface", "cross_entropy"], "backbone.width": [0.125, 0.25]}
    keys: dict[str, Any] = {"fixed": fixed, "search": search, "sampler": "listed"}
    with pytest.raises(UsageError, match=f"{at}: backbone.width is open for shared trials; a listed point"):
        make_space(**keys, first=points)
    whole = {"head.kind": "cross_entropy", "backbone.width": 0.25}
    space = make_space(**keys, first=[{"machine": "fan", "head.kind": "arcface"}, whole])
    assert [run.params for run in space.runs("fan")] == [
        {"head.kind": "arcface"},
        {"head.kind": "cross_entropy"},
    ]
    assert [run.params for run in space.runs(SHARED)] == [whole]


def test_what_a_list_has_one_machine_start_from_is_known() -> None:
    points = [{"machine": "fan", "training": "tuned", "spectrogram.n_mels": 16}]
    keys: dict[str, Any] = {"sampler": "listed", "first": points}
    with pytest.raises(UsageError, match="the search has no shared trials to start from"):
        make_space(**keys, shared_trials=0)
    shared = {"machine": SHARED, "training": "anew", "spectrogram.n_mels": 24}
    space = make_space(**{**keys, "first": [*points, shared]})
    assert space.starting_shared == {"classifier"}
    assert [run.params for run in space.runs("fan")] == [{"training": "tuned"}]


def test_half_a_point_need_not_go_with_a_default() -> None:
    """A hop of 512 with what n_fft is where nobody sets it: no trial has it."""
    search = {
        "spectrogram.hop": [512, 1024],
        "spectrogram.n_fft": [1024, 2048],
        "training.start": [None, "shared"],
    }
    fixed = FIXED | {"spectrogram": {}}
    space = make_space(fixed=fixed, search=search, first=[])
    assert len(space.draw(lambda _, d: d.choices[0], study="fan")) == 3


def test_the_point_of_a_tuned_configuration_leaves_its_network_out() -> None:
    space = make_space()
    tuned = space.recipe({"training": "tuned"}, machine="fan")
    network = space.recipe({"spectrogram.n_mels": 24, "training": "anew"}, machine=SHARED)
    config = tuned.starting_from(network).model_dump(mode="json")
    assert point_of(space, config, "fan") == {"training": "tuned"}
    longer = make_space(fixed=FIXED | {"training": FIXED["training"] | {"epochs": 9}})
    assert point_of(longer, config, "fan") == {"training": "tuned"}  # no preset says how many epochs
