"""What Optuna's own tools find in a search's journal, whatever became of its trials."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState as OptunaState

from humtune.errors import UsageError
from humtune.records import CONFIRM, TrialState
from humtune.search.journal import study_of, write_journal
from humtune.search.samplers import experiments

Make = Callable[..., Any]


def load(path: Path, name: str) -> optuna.Study:
    return optuna.load_study(study_name=name, storage=JournalStorage(JournalFileBackend(str(path))))


def written(bench: Any, path: Path) -> dict[str, int]:
    return dict(write_journal(bench.ledger, path))


def played(make: Make, omegas: tuple[float, ...], **keys: Any) -> Any:
    """A search of two machines: trials that reach an Ω, then one that fails and one that runs."""
    search = make(**keys)
    studies = search.studies()
    records = [studies.ask() for _ in range(2 * len(omegas) + 4)]
    for machine in search.ledger.plan.machines:
        *whole, failed, running = [r for r in records if r.machine == machine]
        for record, omega in zip(whole, omegas, strict=True):
            search.play(studies, record, omega)
        search.end(studies, failed, TrialState.FAILED, "torn clip")
        search.epoch(studies, running)
    return search


def test_every_trial_that_ended_is_there_as_it_was(bench: Make, tmp_path: Path) -> None:
    search = played(bench, (0.6, 0.8, 0.7))
    assert written(search, tmp_path / "j.log") == {"fan": 4, "fan-2": 4}
    study = load(tmp_path / "j.log", "hums/fan")
    records = {r.id: r for r in search.ledger.records("fan")}
    trials = study.get_trials()
    assert [t.user_attrs["trial"] for t in trials] == [i for i, r in records.items() if r.ended]
    for trial in trials:
        record = records[trial.user_attrs["trial"]]
        assert trial.params == record.params
        assert trial.datetime_start.timestamp() == pytest.approx(record.started, abs=1e-5)
        assert trial.datetime_complete.timestamp() == pytest.approx(record.ended, abs=1e-5)
        assert trial.intermediate_values == {
            e.epoch: e.metrics["omega"] for e in record.epochs if "omega" in e.metrics
        }
    assert [(t.state.name, t.value) for t in trials] == [
        ("COMPLETE", 0.6),
        ("COMPLETE", 0.8),
        ("COMPLETE", 0.7),
        ("FAIL", None),
    ]
    best = study.best_trial.user_attrs
    assert (best["omega nll"], best["omega cosine"], best["score type"]) == (0.8, 0.4, "nll")
    assert trials[-1].user_attrs["reason"] == "torn clip"
    assert (study.user_attrs["search"], study.user_attrs["machine"]) == ("hums", "fan")
    assert study.metric_names == ["Ω"]


def test_stopped_trials_are_pruned_ones(bench: Make) -> None:
    search = bench(machines=("fan",), trials=12, pruner="median")
    studies = search.studies()
    for i in range(12):
        search.play(studies, studies.ask(), 0.8 - 0.03 * i)
    trials = study_of(search.ledger, "fan").get_trials()
    states = [r.state for r in search.ledger.records("fan")]
    assert TrialState.PRUNED in states
    assert [t.state == OptunaState.PRUNED for t in trials] == [s == TrialState.PRUNED for s in states]


def test_written_again_it_has_what_ended_since_and_nothing_twice(bench: Make, tmp_path: Path) -> None:
    search, path = bench(machines=("fan",)), tmp_path / "new" / "j.log"
    studies = search.studies()
    first, second = studies.ask(), studies.ask()
    search.play(studies, second, 0.7)
    assert written(search, path) == {"fan": 1}
    begun = path.read_bytes()
    search.play(studies, first, 0.6)
    assert written(search, path) == {"fan": 1}
    assert path.read_bytes().startswith(begun)  # who reads it meanwhile reads on
    assert written(search, path) == {"fan": 0}
    names = [t.user_attrs["trial"] for t in load(path, "hums/fan").get_trials()]
    assert names == [second.id, first.id]


def test_one_that_was_killed_as_it_wrote_is_gone_on_with(bench: Make, tmp_path: Path) -> None:
    search = played(bench, (0.6, 0.8, 0.7))
    written(search, tmp_path / "whole.log")
    lines = (tmp_path / "whole.log").read_bytes().splitlines(keepends=True)
    for whole, torn in enumerate(lines):
        path = tmp_path / f"{whole}.log"
        path.write_bytes(b"".join([*lines[:whole], *([torn[:9]] if whole else [])]))
        written(search, path)
        for machine in ("fan", "fan-2"):
            trials = load(path, f"hums/{machine}").get_trials()
            assert [t.value for t in trials] == [0.6, 0.8, 0.7, None]


def test_what_confirms_is_left_out(bench: Make) -> None:
    search = bench(machines=("fan",))
    studies = search.studies()
    record = search.play(studies, studies.ask(), 0.7)
    search.ledger.write(record.model_copy(update={"id": "fan-00001", "number": 1, "origin": CONFIRM}))
    assert len(study_of(search.ledger, "fan").get_trials()) == 1


def test_optunas_figures_are_made_of_it(bench: Make) -> None:
    """Of settings that only some of its heads have, too."""
    heads = {
        "presets": {"variational": {"kind": "variational"}, "ce": {"kind": "cross_entropy"}},
        "search": {"variational": {"mu": [5, 10, 20, 30]}},
    }
    search = bench(machines=("fan",), trials=12, search={"head": heads})
    studies = search.studies()
    for i in range(12):
        record = studies.ask()
        search.play(studies, record, 0.7 if record.params["head"] == "ce" else 0.6 + i / 1000)
    study = study_of(search.ledger, "fan")
    assert {tuple(t.distributions) for t in study.get_trials()} == {("head",), ("head", "head.mu")}
    weights = optuna.importance.get_param_importances(study)
    assert max(weights, key=weights.get) == "head"
    with experiments():
        axes = optuna.visualization.matplotlib.plot_optimization_history(study)
    assert len(axes.collections[0].get_offsets()) == 12


@pytest.mark.parametrize("content", ["no journal\n", '{"a": 1}\n', "[]\n", "7\n"])
def test_another_file_is_left_alone(bench: Make, tmp_path: Path, content: str) -> None:
    path = tmp_path / "j.log"
    path.write_text(content)
    with pytest.raises(UsageError, match="no journal of Optuna's; name another file"):
        written(bench(), path)
    assert path.read_text() == content


def test_another_searchs_journal_is_named(bench: Make, tmp_path: Path) -> None:
    written(bench(), tmp_path / "j.log")
    with pytest.raises(UsageError, match="a journal of hums/fan; name another file"):
        written(bench(name="other"), tmp_path / "j.log")
    with pytest.raises(UsageError, match="a folder; name a file"):
        written(bench(name="third"), tmp_path)


def test_a_study_is_headed_by_what_judges_its_trials_wherever_it_was_killed(
    bench: Make, tmp_path: Path
) -> None:
    search = bench(shared_trials=1)
    machines = {
        name: machine.model_copy(update={"judged_by": "pseudo"})
        for name, machine in search.ledger.plan.machines.items()
    }
    search.ledger.write_plan(search.ledger.plan.model_copy(update={"machines": machines}))
    written(search, tmp_path / "whole.log")
    lines = (tmp_path / "whole.log").read_bytes().splitlines(keepends=True)
    for whole in range(len(lines)):
        path = tmp_path / f"{whole}.log"
        path.write_bytes(b"".join(lines[:whole]))
        written(search, path)
        for machine in search.ledger.plan.studies:
            study = load(path, f"hums/{machine}")
            assert study.metric_names == ["pseudo-Ω"]
            assert study.user_attrs == {"search": "hums", "machine": machine}
