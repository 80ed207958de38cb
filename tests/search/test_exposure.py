"""Trials that are exposed to the search's other machines."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loop import search, studies_of

from humtune.detectors.classifier import timing
from humtune.errors import UsageError
from humtune.ledger import Ledger
from humtune.plan import Resources
from humtune.records import TrialState
from humtune.search import run
from humtune.search.space import check_space
from humtune.search.space.fit import check_all
from humtune.search.studies import Studies
from humtune.search.timing import calibrate, costs
from humtune.search.trial import start_trial
from humtune.search.warm import prior_trials
from humtune.sounds.joined import expose
from humtune.sounds.synthetic import Sizes, synthesise
from humtune.sounds.table import Role
from humtune.storage import Storage
from humtune.testing.recordings import small_bank

FIXED = {
    "spectrogram": {"n_fft": 256, "chunk_frames": 16, "n_mels": 16},
    "backbone": {"width": 0.125, "embedding": 16},
    "head": {"kind": "exposure"},
    "training": {"epochs": 2, "batch_size": 16, "chunks_per_clip": 1},
    "scores": ["own", "knn"],
}
SEARCHED = {"head.beta_class": {"low": 1.0, "high": 10.0}}

Make = Callable[..., Ledger]


pytestmark = pytest.mark.usefixtures("trials_here")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings") / "data"
    sizes = Sizes(sections=2, train_source=30, train_target=4, test_per_cell=3, seconds=0.6)
    synthesise(folder, machines=("fan", "slider", "valve"), sizes=sizes)
    return folder


@pytest.fixture
def prepared(recordings: Path, tmp_path: Path) -> Make:
    def make(name: str = "hums", of: tuple[str, ...] = ("fan", "valve"), **keys: Any) -> Ledger:
        raw = {"trials": 1, "fixed": FIXED, "search": SEARCHED, "sampler": "random"} | keys
        storage = Storage(tmp_path / "runs")
        return run.prepare(
            check_space(raw, where="here"), name=name, data=recordings, storage=storage, machines=of
        )

    return make


def tune_config(ledger: Ledger, studies: Studies) -> dict[str, Any]:
    record = studies.ask()
    assert record is not None
    return {
        "storage": ledger.storage.uri,
        "search": ledger.name,
        "trial": record.id,
        "record": record.model_dump_json(),
        "measured": [],
        "lease": ledger.lease,
    }


def test_a_search_exposes_each_machines_trials_to_the_others(prepared: Make) -> None:
    ledger = prepared()
    search(ledger)
    records = list(ledger.records())
    assert [(r.id, r.state) for r in records] == [
        ("fan-00000", TrialState.COMPLETE),
        ("valve-00000", TrialState.COMPLETE),
    ]
    banks = {m: ledger.bank(m) for m in ("fan", "valve")}
    fan, valve = records
    assert fan.data_hash == expose(banks["fan"], [banks["valve"]]).hash
    assert valve.data_hash == expose(banks["valve"], [banks["fan"]]).hash != fan.data_hash
    for record in records:
        assert set(record.omega) == {"own", "knn"}
        scores = ledger.scores(record.id, "own")  # of the machine's own clips and probes, and no others
        assert len(scores) == len(ledger.clips(record.machine))


def test_clips_that_probes_are_made_of_are_no_negatives(prepared: Make) -> None:
    ledger = prepared()
    trial = start_trial(tune_config(ledger, studies_of(ledger)))
    assert trial.record.machine == "fan"
    probes, table = ledger.probes("fan"), trial.fit.bank.table
    assert probes is not None
    judged_by = {name for name in probes.table.name if name.startswith("valve/")}
    negatives = {f"valve/{name}" for name in table.name[table.having(Role.NEGATIVE)]}
    valve = ledger.bank("valve").table
    trained = {f"valve/{name}" for name in valve.name[valve.having(Role.TRAIN)]}
    assert len(judged_by & trained) > 10
    assert negatives == trained - judged_by
    np.testing.assert_array_equal(table.having(Role.TRAIN), ledger.bank("fan").table.having(Role.TRAIN))


def test_other_machines_are_those_of_the_search(prepared: Make) -> None:
    two, three = prepared("two"), prepared("three", of=("fan", "valve", "slider"))
    fits = [start_trial(tune_config(ledger, studies_of(ledger))).fit for ledger in (two, three)]
    assert [len(fit.bank.table) for fit in fits] == [
        sum(len(ledger.bank(m).table) for m in ledger.plan.machines) for ledger in (two, three)
    ]


def test_trials_may_be_pruned(prepared: Make) -> None:
    fixed = FIXED | {"training": FIXED["training"] | {"epochs": 4}}
    ledger = prepared(trials=3, pruner="successive_halving", grace=0.25, fixed=fixed)
    search(ledger)
    states = [record.state for record in ledger.records()]
    assert len(states) == 6
    assert {*states} == {TrialState.COMPLETE, TrialState.PRUNED}


def test_an_interrupted_trial_ends_as_one_that_was_not(prepared: Make) -> None:
    fixed = FIXED | {"training": FIXED["training"] | {"epochs": 3, "mixup_schedule": "cosine"}}
    whole, broken = prepared("whole", fixed=fixed), prepared("broken", fixed=fixed)
    search(whole)
    config = tune_config(broken, studies_of(broken))
    run_ = start_trial(config)
    run_.checkpoint_seconds = 0
    run_.epoch()
    again = start_trial(config)
    assert again.record.continued == (1,)
    while again.record.state == TrialState.RUNNING:
        again.epoch()
    one, other = whole.read("fan-00000"), broken.read("fan-00000")
    assert [e.metrics for e in one.epochs] == [e.metrics for e in other.epochs]
    assert one.omega == other.omega


def test_a_search_of_one_machine_is_refused_with_the_mend(prepared: Make) -> None:
    with pytest.raises(UsageError) as refused:
        prepared(of=("fan",))
    assert str(refused.value) == (
        "fan: an exposure head tells a machine from others, and there is fan alone; "
        "search two machines or more (--machines), or a family that needs no others, such as "
        "systems/xiao_gwrp or systems/dcase_autoencoder"
    )


def test_one_of_several_heads_is_named(prepared: Make) -> None:
    presets = {"presets": {"arc": {"kind": "arcface"}, "out": {"kind": "exposure"}}}
    fixed = {name: value for name, value in FIXED.items() if name != "head"}
    with pytest.raises(UsageError, match=r"dcase_autoencoder \(head: out\)"):
        prepared(of=("fan",), fixed=fixed, search={"head": presets})
    prepared(fixed=fixed, search={"head": presets})


def test_a_shared_trial_is_refused_and_one_with_another_head_is_not(prepared: Make) -> None:
    with pytest.raises(UsageError) as refused:
        prepared(shared_trials=1)
    assert str(refused.value) == (
        "an exposure head tells one machine from the others, and a shared trial is all machines'; search "
        "without shared trials (--shared-trials 0), or set another below machines: shared"
    )
    prepared(
        shared_trials=1,
        machines={"shared": {"head.kind": "arcface", "scores": ["knn"]}},
        search={"labels": ["section"]},
    )


def test_a_trial_may_start_from_a_shared_one_with_another_head(prepared: Make) -> None:
    shared = {"head.kind": "arcface", "scores": ["knn"]}
    fixed = FIXED | {"training": FIXED["training"] | {"start": "shared"}}
    ledger = prepared(
        trials=1, shared_trials=1, fixed=fixed, machines={"shared": shared}, search={"labels": ["section"]}
    )
    search(ledger)
    records = list(ledger.records())
    assert [(r.id, r.state) for r in records] == [
        (f"{study}-00000", TrialState.COMPLETE) for study in ("fan", "shared", "valve")
    ]
    assert [r.started_from for r in records] == ["shared-00000", None, "shared-00000"]
    assert set(records[0].omega) == {"own", "knn"}


def test_others_clips_must_be_long_enough_too() -> None:
    raw = {"trials": 1, "fixed": FIXED | {"spectrogram": {"n_fft": 256, "n_mels": 16, "chunk_frames": 99}}}
    raw |= {"search": SEARCHED, "machines": {"valve": {"spectrogram.chunk_frames": 16}}}
    banks = {"fan": small_bank("fan", seconds=1.0), "valve": small_bank("valve", seconds=0.6)}
    with pytest.raises(
        UsageError, match=r"valve: spectrogram\.chunk_frames = 99 is longer than the shortest clip"
    ):
        check_all(check_space(raw, where="here"), banks)


def test_a_dry_run_counts_what_others_add(prepared: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "batch_seconds", lambda run, clips: float(len(clips)))  # a second a chunk
    ledger = prepared()
    space = check_space(ledger.plan.asked.space, where="plan")
    [cost] = costs(space, ledger.bank("fan"), Resources(), others=[ledger.bank("valve")])
    trained = len(ledger.bank("fan").table.having(Role.TRAIN))
    assert cost.estimate.step_seconds == 2 * trained
    assert len(calibrate(ledger.storage.uri, ledger.name).accelerations) == 1


def test_a_dry_run_tells_heads_that_hear_others_from_those_that_do_not(
    prepared: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "batch_seconds", lambda run, clips: float(len(clips)))
    fixed = {name: value for name, value in FIXED.items() if name != "head"}
    presets = {"presets": {"arc": {"kind": "arcface"}, "out": {"kind": "exposure", "negatives": 0.75}}}
    ledger = prepared(fixed=fixed, search={"head": presets})
    space = check_space(ledger.plan.asked.space, where="plan")
    found = list(costs(space, ledger.bank("fan"), Resources(), others=[ledger.bank("valve")]))
    trained = len(ledger.bank("fan").table.having(Role.TRAIN))
    assert [(c.chosen, c.estimate.step_seconds) for c in found] == [
        ({"head": "arc"}, trained),
        ({"head": "out"}, 4 * trained),
    ]


def test_a_warm_start_observes_trials_that_had_the_same_others_alone(prepared: Make) -> None:
    search(prepared("first", sampler="tpe", trials=2))
    earlier = Ledger(prepared("second").storage, "first")
    storage, data = earlier.storage, Path(earlier.plan.asked.data)
    space = check_space(earlier.plan.asked.space, where="plan")
    for name, machines, observed in (("same", ["fan", "valve"], 2), ("more", ["fan", "slider", "valve"], 0)):
        ledger = run.prepare(space, name=name, data=data, storage=storage, machines=machines, earlier=earlier)
        found = prior_trials(ledger, "fan")
        assert (len(found.observed), len(found.points)) == (observed, 2 - observed)
