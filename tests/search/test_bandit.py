"""Time shared out among kinds of detectors: by what they bring, and again the same after a kill."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from humtune.cli.running import _what_came
from humtune.errors import UsageError
from humtune.metrics.cells import Cells
from humtune.metrics.omega import omega
from humtune.plan import MOST_TRIALS
from humtune.records import TrialRecord, TrialState
from humtune.search.bandit import FAILURES, Arm, measured_at, next_arm
from humtune.search.clock import Clock
from humtune.search.space import check_space
from humtune.search.studies import Studies
from humtune.sounds.table import ANOMALY, ClipTable, Role

Make = Callable[..., Any]

SECONDS = {"cheap": 1.0, "strong": 5.0, "useless": 50.0, "closed": 0.5}
SKILL = {"cheap": 0.3, "strong": 2.0, "useless": 0.0, "closed": 0.2}
SPACE: dict[str, Any] = {
    "machines": ("fan",),
    "sampler": "bandit",
    "trials": 60,
    "fixed": {},
    "search": {
        "family": {
            "presets": {
                **{name: {"family": "noop", "steps": 2} for name in ("useless", "strong", "cheap")},
                "closed": {"family": "noop", "steps": 1},
            },
            "search": {"closed": {"blur": [0, 3]}},
        }
    },
}


@pytest.fixture
def search(bench: Make, table: Make) -> Callable[..., Any]:
    """A search of one machine whose trials' times are known; with labels or without."""

    def make(*, labelled: bool = True, **keys: Any) -> Any:
        made = bench(**SPACE | keys)
        clips = table(per_cell=12, train=40, labelled=labelled)
        ledger = made.ledger
        ledger.storage.write(ledger.layout.clips("fan"), clips.take(clips.role != Role.TRAIN).to_json())
        plan = ledger.plan
        judge = plan.machines["fan"].model_copy(update={"judged_by": "omega" if labelled else "pseudo"})
        known = {f"{preset} noop": seconds for preset, seconds in SECONDS.items()}
        ledger.write_plan(plan.model_copy(update={"machines": {"fan": judge}, "seconds": {"fan": known}}))
        return made

    return make


def play(search: Any, studies: Studies, record: TrialRecord) -> None:
    """A trial to its end: noise, and what its kind knows of anomalies."""
    ledger, kind = search.ledger, str(record.params["family"])
    clips: ClipTable = ledger.clips("fan")
    chance = np.random.default_rng(record.number)
    scores = chance.normal(size=len(clips)) + SKILL[kind] * (clips.label == ANOMALY)
    judged_by = ledger.plan.objective("fan")
    value = float(omega(scores, Cells.of(clips, Role.SELECT))) if judged_by == "omega" else 0.5
    done = {"state": TrialState.COMPLETE, judged_by: {"own": value}, "seconds": SECONDS[kind], "ended": 1e9}
    record = record.model_copy(update=done)
    ledger.write_scores(record.id, {"own": scores})
    ledger.write(record)
    studies.end(record)


def kinds(search: Any, studies: Studies, trials: int) -> list[str]:
    found = []
    for _ in range(trials):
        record = studies.ask()
        found.append(str(record.params["family"]))
        play(search, studies, record)
    return found


def test_each_kind_once_the_cheapest_first_and_then_what_brings_most_a_second(search: Make) -> None:
    made = search()
    order = kinds(made, made.studies(), 24)
    assert order[:4] == ["closed", "cheap", "strong", "useless"]
    spent = Counter()
    for kind in order[4:]:
        spent[kind] += SECONDS[kind]
    assert spent["strong"] > 0.6 * spent.total()
    assert spent["useless"] == 0
    assert order.count("closed") <= 2  # a closed form has no seeds


def test_a_resumed_search_chooses_as_it_would_have(search: Make) -> None:
    whole, killed = search(name="whole"), search(name="killed")
    expected = kinds(whole, whole.studies(), 12)
    found = [kind for part in (5, 4, 3) for kind in kinds(killed, killed.studies(), part)]
    assert found == expected


def test_without_labels_all_kinds_get_the_same_time(search: Make) -> None:
    made = search(labelled=False)
    order = kinds(made, made.studies(), 60)
    spent = {kind: SECONDS[kind] * order.count(kind) for kind in ("cheap", "strong")}
    assert order.count("useless") == 1
    assert spent["cheap"] == pytest.approx(50.0, abs=5.0) or spent["strong"] == pytest.approx(50.0, abs=5.0)
    assert abs(spent["cheap"] - spent["strong"]) <= 5.0


def test_a_kind_that_only_fails_is_given_up(search: Make) -> None:
    made = search(labelled=False)
    studies, failed = made.studies(), 0
    for _ in range(20):
        record = studies.ask()
        if record.params["family"] != "cheap":
            play(made, studies, record)
            continue
        failed += 1
        studies.end(record.model_copy(update={"state": TrialState.FAILED, "seconds": 0.1, "ended": 1e9}))
    assert failed == FAILURES


def test_what_kinds_bring_is_measured_seldom_where_there_are_many_trials() -> None:
    at = [measured_at(trials) for trials in range(1001)]
    assert at[:9] == list(range(9))
    assert at == sorted(at)
    assert all(0.88 * trials <= found <= trials for trials, found in enumerate(at))
    assert len(set(at)) < 60


def test_what_would_take_most_of_a_machines_time_is_not_tried(search: Make) -> None:
    made = search()
    studies = Studies(made.ledger, made.space, Clock(150.0, whole=150.0))
    assert "useless" not in kinds(made, studies, 10)


def test_a_kind_that_was_not_timed_comes_after_those_that_were(search: Make) -> None:
    made = search()
    known = {f"{kind} noop": seconds for kind, seconds in SECONDS.items() if kind != "cheap"}
    made.ledger.write_plan(made.ledger.plan.model_copy(update={"seconds": {"other": known, "fan": {}}}))
    assert made.studies().forecast.longest == 50.0
    made.ledger.write_plan(made.ledger.plan.model_copy(update={"seconds": {"fan": known}}))
    studies = made.studies()
    assert [studies.ask().params["family"] for _ in range(4)] == ["closed", "strong", "useless", "cheap"]


def test_trials_that_run_count_as_begun(search: Make) -> None:
    studies = search().studies()
    assert [studies.ask().params["family"] for _ in range(4)] == ["closed", "cheap", "strong", "useless"]


def test_promise_falls_with_trials_seconds_and_what_a_kind_is_behind() -> None:
    arm = Arm("fan", "a", begun=2, seconds=10.0, brings=0.02)
    for worse in ({"begun": 4}, {"seconds": 20.0}, {"brings": 0.0}, {"brings": -0.5}, {"behind": 0.2}):
        other = replace(arm, preset="b", **worse)
        assert other.promise < arm.promise
        assert next_arm([other, arm]) is arm


def test_what_only_its_time_ends_counts_no_trials_that_are_left(search: Make) -> None:
    made = search(trials=MOST_TRIALS)
    studies = Studies(made.ledger, made.space, Clock(150.0, whole=150.0))
    kinds(made, studies, 5)
    assert any("more time finds more: humtune resume hums" in line for line in _what_came(studies))
    presets = {"presets": {"closed": {"family": "noop", "steps": 1}}}
    made = search(trials=MOST_TRIALS, name="few", search={"family": presets})
    studies = Studies(made.ledger, made.space, Clock(150.0, whole=150.0))
    kinds(made, studies, 1)
    assert studies.ask() is None
    assert "nothing more to try" in [*_what_came(studies)]


def test_it_wants_presets_of_the_family() -> None:
    with pytest.raises(UsageError, match="sampler: bandit shares the time out among presets of family"):
        check_space({"sampler": "bandit", "search": {"head.mu": [5, 10]}}, where="here")
