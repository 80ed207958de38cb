"""Studies: whose turn it is, what is told to Optuna, and that a rebuilt study is the one that lived."""

import json
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.pruners import (
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    SuccessiveHalvingPruner,
    WilcoxonPruner,
)
from optuna.samplers import GPSampler, RandomSampler, TPESampler
from optuna.trial import TrialState as OptunaState

from humtune.records import TrialRecord, TrialState
from humtune.search.run import run as run_search
from humtune.search.samplers import pruner, rungs_of, sampler
from humtune.search.studies import Studies

Make = Callable[..., Any]

PRUNERS = ["successive_halving", "median", "hyperband", "wilcoxon", "none"]


def told(studies: Studies, machine: str = "fan") -> list[dict[str, Any]]:
    """All that an Optuna study knows of its trials; pruners keep their rungs in the system attributes."""
    return [
        {
            "number": t.number,
            "state": t.state.name,
            "value": t.value,
            "params": t.params,
            "intermediate": t.intermediate_values,
            "rungs": {k: v for k, v in t.system_attrs.items() if k.startswith("completed_rung")},
        }
        for t in studies.machines[machine].study.get_trials()
        if t.state != OptunaState.WAITING
    ]


# --- whose turn it is


def test_machines_take_turns_and_no_slot_waits_for_one(bench: Make) -> None:
    search = bench(trials=3)
    studies = search.studies()
    asked = [studies.ask() for _ in range(6)]
    assert [r.machine for r in asked] == ["fan", "fan-2"] * 3
    assert [r.number for r in asked] == [0, 0, 1, 1, 2, 2]
    assert studies.ask() is None  # every trial runs or has ended
    assert studies.ask() is None


def test_the_machine_that_is_furthest_behind_is_next(bench: Make) -> None:
    search = bench(trials=4)
    studies = search.studies()
    first = studies.ask()
    search.end(studies, first, TrialState.FAILED, "torn clip")
    asked = [studies.ask().machine for _ in range(7)]
    assert asked[0] == "fan-2"
    assert Counter([first.machine, *asked]) == {"fan": 4, "fan-2": 4}


def test_failed_and_pruned_trials_count(bench: Make) -> None:
    search = bench(machines=("fan",), trials=3)
    studies = search.studies()
    for state in (TrialState.FAILED, TrialState.PRUNED):
        search.end(studies, studies.ask(), state, "why")
    search.play(studies, studies.ask(), 0.7)
    assert studies.ask() is None
    assert search.studies().ask() is None


def test_a_torn_record_counts_and_tells_optuna_nothing(bench: Make) -> None:
    search = bench(machines=("fan",), trials=3)
    before = search.studies()
    for omega in (0.5, 0.6):
        search.play(before, before.ask(), omega)
    search.ledger.storage.write("hums/trials/fan-00000/record.json", b'{"id": "fan-0')
    studies = search.studies()
    assert [t.value for t in studies.machines["fan"].study.get_trials()] == [0.6]
    assert studies.machines["fan"].best.trial.id == "fan-00001"
    last = studies.ask()
    assert last.id == "fan-00002"
    assert studies.ask() is None
    search.play(studies, last, 0.7)
    assert studies.over
    assert search.ledger.storage.read("hums/trials/fan-00000/record.json") == b'{"id": "fan-0'


def test_more_trials_are_asked_after_the_plan_wants_more(bench: Make) -> None:
    search = bench(machines=("fan",), trials=2)
    studies = search.studies()
    for omega in (0.6, 0.7):
        search.play(studies, studies.ask(), omega)
    search.quota(4)
    again = search.studies()
    assert [again.ask().number, again.ask().number] == [2, 3]
    assert again.ask() is None


def test_fewer_trials_than_there_are_is_nothing_to_do(bench: Make) -> None:
    search = bench(machines=("fan",), trials=3)
    studies = search.studies()
    for _ in range(3):
        search.play(studies, studies.ask(), 0.6)
    search.quota(1)
    again = search.studies()
    assert again.ask() is None
    again.epochs_run, again.seconds_run = 1, 1.0
    assert again.seconds_left(1) == 0


# --- first points


FIRST = [
    {"head.mu": 10, "head.sigma2": 0.1},
    {"machine": "fan-2", "head.mu": 30},
    {"machine": "fan", "head.mu": 20, "head.sigma2": 0.02},
]


def test_first_points_come_first_in_order_each_for_its_machine(bench: Make) -> None:
    studies = bench(first=FIRST).studies()
    asked = [studies.ask() for _ in range(6)]
    fan = [r for r in asked if r.machine == "fan"]
    assert [r.origin for r in fan] == ["first", "first", "sampler"]
    assert [r.params for r in fan[:2]] == [
        {"head.mu": 10, "head.sigma2": 0.1},
        {"head.mu": 20, "head.sigma2": 0.02},
    ]
    other = [r for r in asked if r.machine == "fan-2"]
    assert [r.origin for r in other] == ["first", "first", "sampler"]
    assert other[1].params["head.mu"] == 30
    assert 0.02 <= other[1].params["head.sigma2"] <= 0.5  # what the point leaves open is drawn
    settings = fan[1].settings
    assert (settings["head.mu"], settings["head.sigma2"]) == (20, 0.02)


def test_first_points_are_not_tried_again(bench: Make) -> None:
    search = bench(machines=("fan",), first=FIRST)
    studies = search.studies()
    search.play(studies, studies.ask(), 0.6)
    search.end(studies, studies.ask(), TrialState.FAILED, "its process died")
    again = search.studies()
    assert [again.ask().origin for _ in range(4)] == ["sampler"] * 4


def test_a_first_point_that_never_wrote_a_record_is_tried(bench: Make) -> None:
    """Two run at a time; the kill hits the first one before it has written anything."""
    search = bench(machines=("fan",), first=FIRST)
    studies = search.studies()
    lost, kept = studies.ask(), studies.ask()
    search.ledger.write(kept)
    again = search.studies()
    asked = [again.ask() for _ in range(3)]
    assert asked[0] == kept
    assert [r.params for r in asked if r.origin == "first"] == [kept.params, lost.params]
    assert [r.number for r in asked] == [1, 2, 3]  # a number that was given is not given again


# --- what a trial gets


def test_every_trial_has_its_own_number_seed_and_name(bench: Make) -> None:
    studies = bench(seed=100, trials=3).studies()
    asked = [studies.ask() for _ in range(6)]
    assert len({r.id for r in asked}) == 6
    assert [r.id for r in asked if r.machine == "fan-2"] == ["fan-2-00000", "fan-2-00001", "fan-2-00002"]
    assert [r.seed for r in asked if r.machine == "fan"] == [100, 101, 102]
    for record in asked:
        assert record.state == TrialState.RUNNING
        assert record.settings["head.mu"] == record.params["head.mu"]
        assert record.settings["head.sigma2"] == record.params["head.sigma2"]
        assert studies.running(record.id).record is record


def test_machines_draw_different_points_and_a_search_can_be_repeated(bench: Make) -> None:
    asked = [[s.ask().params for _ in range(6)] for s in (bench(name=n).studies() for n in "ab")]
    assert asked[0] == asked[1]
    assert asked[0][0] != asked[0][1]


def test_a_new_run_draws_new_points(bench: Make) -> None:
    search = bench(machines=("fan",), sampler="random")
    studies = search.studies()
    drawn = [search.play(studies, studies.ask(), 0.6).params for _ in range(2)]
    again = search.studies()
    assert again.ask().params not in drawn


# --- what Optuna is told


@pytest.mark.parametrize("name", ["median", "successive_halving"])
def test_optuna_is_told_how_each_trial_ended(bench: Make, name: str) -> None:
    search = bench(machines=("fan",), pruner=name)
    studies = search.studies()
    complete, stopped, failed, early = (studies.ask() for _ in range(4))
    search.play(studies, complete, 0.7)
    stopped, _ = search.epoch(studies, stopped)
    stopped, _ = search.epoch(studies, stopped, 0.5)
    search.end(studies, stopped, TrialState.PRUNED, "stopped by median after epoch 2")
    search.end(studies, failed, TrialState.FAILED, "torn clip")
    search.end(studies, early, TrialState.PRUNED, "stopped before its first rung")
    trials = told(studies)
    assert [t["state"] for t in trials] == ["COMPLETE", "PRUNED", "FAIL", "PRUNED"]
    assert trials[0]["value"] == 0.7  # of the best score type
    assert trials[1]["intermediate"] == {2: 0.5}
    assert trials[1]["value"] == 0.5
    assert trials[2]["value"] is None
    assert studies.machines["fan"].running == {}


def test_the_last_epoch_is_the_value_and_no_rung(bench: Make) -> None:
    search = bench(machines=("fan",), pruner="successive_halving")
    studies = search.studies()
    record = search.play(studies, studies.ask(), 0.7)
    assert list(rungs_of(record, (2, 4))) == [2, 4]
    assert list(told(studies)[0]["intermediate"]) == [2, 4]


def test_an_end_that_is_told_twice_changes_nothing(bench: Make) -> None:
    search = bench(machines=("fan",))
    studies = search.studies()
    record = search.play(studies, studies.ask(), 0.7)
    before = told(studies)
    studies.end(record)
    studies.end(record.model_copy(update={"state": TrialState.FAILED}))
    assert told(studies) == before
    assert studies.machines["fan"].ended == {record.id: record}


def test_an_epoch_that_runs_again_is_not_reported_again(
    bench: Make, recwarn: pytest.WarningsRecorder
) -> None:
    """A process died after its checkpoint: Tune starts the trial again, and epochs repeat."""
    search = bench(machines=("fan",), pruner="successive_halving")
    studies = search.studies()
    record = studies.ask()
    for epoch, omega in ((1, None), (2, 0.5), (3, None), (2, 0.5), (3, None), (4, 0.6)):
        studies.report(record.id, epoch, 2.0, omega)
    assert told(studies)[0]["intermediate"] == {2: 0.5, 4: 0.6}
    assert [w for w in recwarn if "already reported" in str(w.message)] == []
    assert studies.running(record.id).epoch == 4


# --- stopping


def test_a_poor_trial_is_stopped_and_a_good_one_goes_on(bench: Make) -> None:
    search = bench(machines=("fan",), pruner="successive_halving")
    studies = search.studies()
    search.play(studies, studies.ask(), 0.7)
    poor, good = studies.ask(), studies.ask()
    search.epoch(studies, poor)
    assert studies.report(poor.id, 2, 2.0, 0.4)
    assert not studies.report(good.id, 1, 2.0, None)
    assert not studies.report(good.id, 2, 2.0, 0.9)


def test_first_points_are_never_stopped_but_set_the_rungs(bench: Make) -> None:
    search = bench(machines=("fan",), pruner="successive_halving", first=FIRST)
    studies = search.studies()
    good, poor = studies.ask(), studies.ask()
    assert not studies.report(good.id, 2, 2.0, 0.9)
    assert not studies.report(poor.id, 2, 2.0, 0.1)
    assert not studies.report(poor.id, 4, 2.0, 0.1)
    assert [sorted(t["rungs"]) for t in told(studies)] == [
        ["completed_rung_0"],
        ["completed_rung_0", "completed_rung_1"],
    ]
    middling = studies.ask()
    assert studies.report(middling.id, 2, 2.0, 0.5)  # against the first points' rungs


def test_machines_do_not_compete(bench: Make) -> None:
    search = bench(pruner="successive_halving")
    studies = search.studies()
    fan, other = studies.ask(), studies.ask()
    assert not studies.report(fan.id, 2, 2.0, 0.9)
    assert not studies.report(other.id, 2, 2.0, 0.1)


# --- rebuilt from the ledger


def live(search: Any, studies: Studies, trials: int, *, seed: int = 0) -> None:
    """Trials whose Ω depends on what was chosen, two at a time, some of them failing."""
    rng = np.random.default_rng(seed)
    for _ in range(trials // 2):
        pair = [studies.ask(), studies.ask()]
        for record in pair:
            if rng.random() < 0.15:
                search.end(studies, record, TrialState.FAILED, "torn clip")
            else:
                search.play(studies, record, toy(record.params) + rng.normal(0, 0.02))


def toy(params: dict[str, Any]) -> float:
    """Best at mu 10 and sigma2 0.1."""
    return float(0.8 - 0.1 * abs(np.log(params["head.sigma2"] / 0.1)) - 0.01 * abs(params["head.mu"] - 10))


@pytest.mark.parametrize("name", PRUNERS)
def test_a_rebuilt_study_is_the_one_that_lived(bench: Make, name: str) -> None:
    search = bench(machines=("fan",), trials=40, pruner=name, first=FIRST)
    studies = search.studies()
    live(search, studies, 24)
    again = search.studies()
    assert told(again) == told(studies)
    assert again.machines["fan"].ended == studies.machines["fan"].ended
    assert again.machines["fan"].ranking == studies.machines["fan"].ranking
    if name != "none":
        assert {t["state"] for t in told(again)} == {"COMPLETE", "PRUNED", "FAIL"}


@pytest.mark.parametrize("name", PRUNERS)
def test_a_rebuilt_pruner_decides_alike(bench: Make, name: str) -> None:
    """For trials that go on over the kill and for new ones, at each rung and over the whole range of Ω."""
    search = bench(machines=("fan",), trials=200, pruner=name)
    studies = search.studies()
    live(search, studies, 20)
    unfinished = []
    for omega in (0.5, 0.7, 0.9):
        record = studies.ask()
        for value in (None, omega, None):  # past the first rung, before the second
            record, _ = search.epoch(studies, record, value)
        unfinished.append(record)
    again = search.studies()
    for _ in unfinished:
        again.ask()
    decisions = []
    for run in (studies, again):
        said = [
            run.report(r.id, 4, 2.0, omega) for r, omega in zip(unfinished, (0.55, 0.72, 0.9), strict=True)
        ]
        for omega in np.linspace(0.3, 1.0, 15):
            record = run.ask()
            said += [run.report(record.id, epoch, 2.0, omega) for epoch in (2, 4)]
        decisions.append(said)
    assert decisions[0] == decisions[1]
    if name in ("successive_halving", "median"):
        assert len(set(decisions[0])) == 2
    assert [t["rungs"] for t in told(studies)] == [t["rungs"] for t in told(again)]


def test_unfinished_trials_are_asked_first_as_they_were(bench: Make) -> None:
    search = bench(machines=("fan",), pruner="successive_halving", first=FIRST, trials=5)
    studies = search.studies()
    records = [studies.ask() for _ in range(4)]
    search.play(studies, records[0], 0.7)
    records[1], _ = search.epoch(studies, records[1])
    records[1], _ = search.epoch(studies, records[1], 0.6)
    search.end(studies, records[2], TrialState.FAILED, "torn clip")
    search.ledger.write(records[3])
    again = search.studies()
    assert again.machines["fan"].started == 2
    assert [again.ask() for _ in range(2)] == [records[1], records[3]]
    assert again.running(records[1].id).epoch == 2
    assert told(again)[1]["intermediate"] == {2: 0.6}
    assert again.ask().number == 4
    assert again.ask() is None


def test_a_search_killed_again_and_again_keeps_to_its_plan(bench: Make) -> None:
    """Every driver dies with trials under way; in the end each planned trial ended once."""
    rng = np.random.default_rng(1)
    search = bench(trials=8, pruner="median", first=FIRST)
    runs = 0
    while True:
        runs += 1
        studies = search.studies()
        for _ in range(int(rng.integers(1, 5))):
            asked = [record for record in (studies.ask(), studies.ask()) if record is not None]
            for record in asked:
                search.ledger.write(record)
            if asked and rng.random() < 0.7:
                search.play(studies, asked[0], rng.uniform(0.4, 0.9))
                asked = asked[1:]
            if asked and rng.random() < 0.5:
                search.epoch(studies, asked[0])
        if all(len(m.ended) == m.quota for m in studies.machines.values()):
            break
        assert runs < 50
    assert runs > 3
    records = list(search.ledger.records())
    assert Counter(r.machine for r in records) == {"fan": 8, "fan-2": 8}
    assert all(r.state != TrialState.RUNNING for r in records)
    for machine in ("fan", "fan-2"):
        mine = [r for r in records if r.machine == machine]
        assert [r.number for r in mine] == list(range(8))
        assert Counter(r.origin == "first" for r in mine) == {True: 2, False: 6}
        for r in mine:
            assert [e.epoch for e in r.epochs] == list(range(1, len(r.epochs) + 1))


def test_values_of_every_kind_are_replayed(bench: Make) -> None:
    search = bench(
        machines=("fan",),
        sampler="random",
        search={
            "spectrogram": {"presets": {"a": {"n_mels": None}, "b": {"db": False}}},
            "head.mu": [5, 10.0, 20],
            "head.sigma2": {"low": 0.02, "high": 0.5, "log": True},
            "backbone.embedding": {"low": 32, "high": 96, "step": 16},
            "training.mixup": {"low": 0.0, "high": 0.9, "step": 0.3},
            "labels": ["section", "both"],
        },
        trials=12,
    )
    studies = search.studies()
    for _ in range(12):
        search.play(studies, studies.ask(), 0.6)
    again = search.studies()
    before, after = told(studies), told(again)
    assert after == before
    assert json.dumps([t["params"] for t in after]) == json.dumps([t["params"] for t in before])


# --- parameters that a preset opens

HEADS = {
    "presets": {
        "variational": {"kind": "variational"},
        "ce": {"kind": "cross_entropy"},
        "arcface": {"kind": "arcface", "scale": 16},
    },
    "search": {
        "variational": {"mu": [5, 10, 20, 30], "sigma2": {"low": 0.02, "high": 0.5, "log": True}},
        "arcface": {"margin": {"low": 0.1, "high": 0.9}},
    },
}
OPENED = {
    "variational": {"head", "head.mu", "head.sigma2"},
    "ce": {"head"},
    "arcface": {"head", "head.margin"},
}


def conditional(params: dict[str, Any]) -> float:
    """Vanilla heads are fair, and a variational one is better where mu and sigma2 are right."""
    return toy(params) if params["head"] == "variational" else 0.6 - 0.1 * params.get("head.margin", 0)


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_trial_holds_what_its_preset_opens_and_is_replayed(bench: Make, sampler: str) -> None:
    first = [{"head": "ce"}, {"head": "variational", "head.mu": 10, "head.sigma2": 0.1}]
    search = bench(
        machines=("fan",), trials=40, sampler=sampler, pruner="median", search={"head": HEADS}, first=first
    )
    studies = search.studies()
    for _ in range(30):
        record = studies.ask()
        assert set(record.params) == OPENED[record.params["head"]]
        assert record.settings["head.kind"] == HEADS["presets"][record.params["head"]]["kind"]
        assert record.settings.get("head.mu") == record.params.get("head.mu")
        search.play(studies, record, conditional(record.params))
    assert {r.params["head"] for r in search.ledger.records()} == set(OPENED)
    assert [r.params for r in list(search.ledger.records())[:2]] == first
    search.ledger.write(studies.ask())  # under way when the driver dies
    again = search.studies()
    unfinished = again.ask()
    assert set(unfinished.params) == OPENED[unfinished.params["head"]]
    studies_told, again_told = told(studies), told(again)
    assert again_told == studies_told
    assert [t["params"] for t in again_told] == [r.params for r in search.ledger.records()]
    following = again.ask()
    assert set(following.params) == OPENED[following.params["head"]]


def test_tpe_learns_through_a_preset(bench: Make) -> None:
    search = bench(machines=("fan",), trials=70, search={"head": HEADS}, pruner="none")
    studies = search.studies()
    records = [search.play(studies, r, conditional(r.params)) for r in iter(studies.ask, None)]
    late = records[35:]
    assert sum(r.params["head"] == "variational" for r in late) > 20
    assert max(r.objective for r in records) > 0.75


# --- the best, and the time that is left


def test_the_best_ran_its_whole_budget(bench: Make) -> None:
    search = bench(machines=("fan",), trials=5)
    studies = search.studies()
    assert studies.machines["fan"].best is None
    records = [studies.ask() for _ in range(5)]
    stopped, _ = search.epoch(studies, records[0])
    stopped, _ = search.epoch(studies, stopped, 0.99)
    search.end(studies, stopped.model_copy(update={"omega": {"nll": 0.99}}), TrialState.PRUNED, "stopped")
    search.end(studies, records[1].model_copy(update={"omega": {"nll": 1.0}}), TrialState.FAILED, "why")
    assert studies.machines["fan"].best is None
    ends = [search.play(studies, r, omega) for r, omega in zip(records[2:], (0.6, 0.8, 0.8), strict=True)]
    assert studies.machines["fan"].best.trial == ends[1]  # of two equals the earlier one
    assert [r.id for r in studies.machines["fan"].ranking] == [ends[1].id, ends[2].id, ends[0].id]


def test_time_left_is_told_from_this_runs_epochs(bench: Make) -> None:
    search = bench(trials=2)
    studies = search.studies()
    assert studies.seconds_left(2) is None
    record = studies.ask()
    search.epoch(studies, record)  # 2 s
    assert studies.seconds_left(1) == (4 * 8 - 1) * 2
    assert studies.seconds_left(2) == (4 * 8 - 1) * 2 / 2
    search.play(studies, search.ledger.read(record.id), 0.7)
    assert studies.seconds_left(1) == 3 * 8 * 2
    for _ in range(3):
        search.play(studies, studies.ask(), 0.7)
    assert studies.seconds_left(1) == 0
    assert (studies.epochs_run, studies.seconds_run) == (32, 64)
    assert search.studies().seconds_left(1) is None


# --- samplers and pruners by name


@pytest.mark.parametrize(
    ("name", "kind"), [("tpe", TPESampler), ("gp", GPSampler), ("random", RandomSampler)]
)
def test_samplers_by_name(space: Make, name: str, kind: type) -> None:
    assert type(sampler(space(sampler=name), seed=1)) is kind


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("successive_halving", SuccessiveHalvingPruner),
        ("median", MedianPruner),
        ("hyperband", HyperbandPruner),
        ("wilcoxon", WilcoxonPruner),
        ("none", NopPruner),
    ],
)
def test_pruners_by_name(space: Make, name: str, kind: type) -> None:
    assert type(pruner(space(pruner=name))) is kind
    assert type(pruner(space(pruner=name, grace=1.0))) is kind


def test_no_pruner_stops_before_the_grace(bench: Make) -> None:
    for name in PRUNERS:
        search = bench(machines=("fan",), name=name, pruner=name, trials=20)
        studies = search.studies()
        for _ in range(6):
            search.play(studies, studies.ask(), 0.9)
        record = studies.ask()
        assert not studies.report(record.id, 1, 1.0, 0.0)


def test_tpe_learns_and_random_does_not(bench: Make) -> None:
    best = {}
    for name in ("tpe", "random"):
        search = bench(machines=("fan",), name=name, sampler=name, trials=60, pruner="none")
        studies = search.studies()
        values = [
            search.play(studies, record, toy(record.params)).objective for record in iter(studies.ask, None)
        ]
        assert len(values) == 60
        best[name] = np.median(values[30:]), max(values)
    rng = np.random.default_rng(0)
    blind = [
        toy({"head.mu": mu, "head.sigma2": s})
        for mu, s in zip(
            rng.choice([5, 10, 20, 30], 999), np.exp(rng.uniform(np.log(0.02), np.log(0.5), 999)), strict=True
        )
    ]
    assert best["tpe"][0] > np.quantile(blind, 0.8)  # half of its later draws beat 4 of 5 blind ones
    assert best["tpe"][1] > np.quantile(blind, 0.98)
    assert best["random"][0] < np.quantile(blind, 0.7)


def test_a_search_keeps_optuna_quiet(
    bench: Make, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    search = bench(machines=("fan",), trials=2, pruner="hyperband")
    studies = search.studies()
    for _ in range(2):
        search.play(studies, studies.ask(), 0.5)
    capfd.readouterr()
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.INFO)
    monkeypatch.setattr("humtune.search.run.Mirror", lambda ledger: nullcontext())
    try:
        assert run_search(search.ledger).over  # it is rebuilt, and there is nothing left to run
        assert capfd.readouterr() == ("", "")
    finally:
        optuna.logging.set_verbosity(before)


def test_a_record_is_plain(bench: Make) -> None:
    record = bench().studies().ask()
    assert TrialRecord.model_validate_json(record.model_dump_json()) == record


# --- what machines learn of each other


def test_every_fourth_trial_is_the_best_of_another_machine(bench: Make) -> None:
    search = bench(trials=8, pruner="none", first=[{"head.mu": 5, "head.sigma2": 0.5}])
    studies = search.studies()
    for record in iter(studies.ask, None):
        search.play(studies, record, toy(record.params) + (0.1 if record.machine == "fan" else 0.0))
    records = {m: list(search.ledger.records(m)) for m in studies.machines}
    for machine, other in (("fan", "fan-2"), ("fan-2", "fan")):
        assert [r.origin for r in records[machine][:4]] == ["first", "sampler", "sampler", "transfer"]
        known = records[other][: 3 if machine == "fan" else 4]  # fan is asked first
        assert records[machine][3].params == max(known, key=lambda r: r.objective).params
        assert {r.number for r in records[machine] if r.origin == "transfer"} <= {3, 7}


def test_a_point_is_not_lent_to_a_machine_that_has_tried_it(bench: Make) -> None:
    search = bench(trials=8, search={"head.mu": [5]})
    studies = search.studies()
    for record in iter(studies.ask, None):
        search.play(studies, record, 0.7)
    assert {r.origin for m in studies.machines for r in search.ledger.records(m)} == {"sampler"}


@pytest.mark.parametrize("keys", [{"transfer": False}, {"sampler": "random"}, {"machines": ("fan",)}])
def test_nothing_is_lent_where_it_was_not_asked_for(bench: Make, keys: dict[str, Any]) -> None:
    search = bench(trials=8, **keys)
    studies = search.studies()
    for record in iter(studies.ask, None):
        search.play(studies, record, 0.7)
    assert {r.origin for m in studies.machines for r in search.ledger.records(m)} == {"sampler"}


def test_studies_leave_the_talk_of_optuna_as_it_is(bench: Make) -> None:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        bench(trials=1).studies()
        assert optuna.logging.get_verbosity() == optuna.logging.ERROR
    finally:
        optuna.logging.set_verbosity(before)
