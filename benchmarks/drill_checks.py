"""What must hold of a search that was killed: read from its files, compared with an unbroken rerun."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from humtune.detectors.recipe import recipe_of
from humtune.ledger import Ledger
from humtune.records import TrialRecord, TrialState
from humtune.report.write import write_report
from humtune.search.evaluator import Evaluator
from humtune.search.space import check_space
from humtune.search.studies import Studies
from humtune.sounds.parallel import tracked

MLFLOW = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED", "running": "RUNNING"}
OPTUNA = {
    TrialState.COMPLETE: OptunaState.COMPLETE,
    TrialState.PRUNED: OptunaState.PRUNED,
    TrialState.FAILED: OptunaState.FAIL,
}


@dataclass
class Findings:
    """Counts of what was looked at, and a line for each thing that is not as it should be."""

    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def expect(self, holds: bool, violation: str) -> None:
        if not holds:
            self.violations.append(violation)

    def compare(self, before: Mapping[tuple[str, str], TrialRecord], ledgers: Mapping[str, Ledger]) -> None:
        """Every trial that had ended before a kill has the very same record now."""
        again = [key for key, record in before.items() if ledgers[key[0]].find(key[1]) != record]
        self.counts["finished trials run again"] = len(again)
        self.violations += [f"{search}/{trial} had ended and was run again" for search, trial in again]


def check(ledgers: Iterable[Ledger]) -> Findings:
    """Look at every search that has come to its end."""
    found = Findings()
    for ledger in ledgers:
        records = list(ledger.records())
        for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAILED):
            found.counts[f"trials {state}"] += sum(r.state == state for r in records)
        found.counts["trials that went on from a checkpoint"] += sum(bool(r.continued) for r in records)
        check_plan(ledger, records, found)
        check_files(ledger, records, found)
        check_rungs(ledger, records, found)
        check_mlflow(ledger, records, found)
        check_report(ledger, records, found)
        check_against_unbroken(ledger, records, found)
    return found


def check_plan(ledger: Ledger, records: list[TrialRecord], found: Findings) -> None:
    """Each machine has the planned trials, all at their end, with whole curves."""
    for machine in ledger.plan.machines:
        numbers = [r.number for r in records if r.machine == machine]
        wanted = list(range(ledger.plan.quota(machine)))
        found.expect(numbers == wanted, f"{ledger.name}: {machine} has trials {numbers}, not {wanted}")
    for record in records:
        name = f"{ledger.name}/{record.id}"
        ended_well = record.state in (TrialState.COMPLETE, TrialState.PRUNED)
        found.expect(ended_well, f"{name} is {record.state}: {record.reason}")
        epochs = [e.epoch for e in record.epochs]
        found.expect(epochs == list(range(1, len(epochs) + 1)), f"{name} has the epochs {epochs}")


def check_files(ledger: Ledger, records: list[TrialRecord], found: Findings) -> None:
    """No checkpoint and no draft is left; what a trial should leave is there."""
    layout, root = ledger.layout, ledger.storage.path("")
    left = [*root.glob(layout.checkpoint("*")), *(root / layout.trials).rglob(".draft-*")]
    found.counts["checkpoints and drafts left"] += len(left)
    found.violations += [f"{path} is left" for path in left]
    for record in records:
        if record.state == TrialState.COMPLETE:
            scores = {f"{name}.npy" for name in record.judged}
            kept = set(ledger.storage.list(ledger.layout.scores(record.id)))
            found.expect(kept == scores, f"{ledger.name}/{record.id} has the scores {kept}, not {scores}")


def check_rungs(ledger: Ledger, records: list[TrialRecord], found: Findings) -> None:
    """Studies made anew out of the ledger know each trial's end and what it reached at its rungs."""
    studies = Studies(ledger, check_space(ledger.plan.asked.space, where=ledger.name))
    for machine, this in studies.machines.items():
        mine = [r for r in records if r.machine == machine]
        trials: list[FrozenTrial] = this.study.get_trials(deepcopy=False)
        trials = [t for t in trials if t.state != OptunaState.WAITING]
        found.expect(len(trials) == len(mine), f"{ledger.name}: {machine}'s study has {len(trials)} trials")
        for record, trial in zip(mine, trials, strict=False):
            last = recipe_of(record.config).budget
            known = {
                e.epoch: e.metrics[record.judged_by]
                for e in record.epochs
                if record.judged_by in e.metrics and e.epoch < last
            }
            found.counts["rung values in the studies"] += len(known)
            same = trial.intermediate_values == known and trial.state == OPTUNA.get(record.state)
            found.expect(same, f"{ledger.name}/{record.id}: the study knows {trial.intermediate_values}")


def check_mlflow(ledger: Ledger, records: list[TrialRecord], found: Findings) -> None:
    """MLflow holds one run a trial, with the record's state, parameters and every value of every metric."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{ledger.storage.path('mlflow.db')}")
    experiment = client.get_experiment_by_name(ledger.name)
    runs = client.search_runs([experiment.experiment_id], max_results=1000) if experiment else []
    trials = [r for r in runs if "humtune.trial" in r.data.tags]
    by_trial = {r.data.tags["humtune.trial"]: r for r in trials}
    same = len(trials) == len(by_trial) and by_trial.keys() == {r.id for r in records}
    found.expect(same, f"{ledger.name}: MLflow has {len(trials)} runs for {len(records)} trials")
    for record in records:
        run = by_trial.get(record.id)
        if run is None:
            continue
        found.counts["MLflow runs compared"] += 1
        name = f"{ledger.name}/{record.id}"
        found.expect(run.info.status == MLFLOW[record.state], f"{name}: MLflow says {run.info.status}")
        head = record.config["head"]
        told = {key: float(run.data.params[key]) for key in ("mu", "sigma2")}
        found.expect(told == {key: head[key] for key in told}, f"{name}: MLflow has the parameters {told}")
        for metric in ("loss", "accuracy", record.judged_by):
            history = client.get_metric_history(run.info.run_id, metric)
            truth = [(e.epoch, e.metrics[metric]) for e in record.epochs if metric in e.metrics]
            known = sorted((m.step, m.value) for m in history)
            found.expect(known == truth, f"{name}: MLflow's {metric} is {known}, not {truth}")


def check_report(ledger: Ledger, records: list[TrialRecord], found: Findings) -> None:
    """The report's table shows, for each machine, the best of the ledger."""
    shown = {row.machine: row.choice.trial for row in write_report(ledger).rows}
    for machine in ledger.plan.machines:
        complete = [r for r in records if r.machine == machine and r.state == TrialState.COMPLETE]
        best = max(complete, key=lambda r: (max(r.judged.values()), -r.number), default=None)
        same = shown.get(machine) == (best.id if best else None)
        found.expect(same, f"{ledger.name}: the report shows {shown.get(machine)} as {machine}'s best")


def check_against_unbroken(ledger: Ledger, records: list[TrialRecord], found: Findings) -> None:
    """Every complete trial's curve and scores equal, to the last bit, a training that nothing broke."""
    torch.set_num_threads(1)
    complete = [r for r in records if r.state == TrialState.COMPLETE]
    for record in tracked(complete, total=len(complete), title=f"{ledger.name} again, unbroken"):
        bank = ledger.bank(record.machine)
        run = recipe_of(record.config).start(bank)
        losses = [run.step()["loss"] for _ in range(run.recipe.budget)]
        scores = Evaluator(bank, ledger.probes(record.machine)).measure(run.finish()).scores
        name = f"{ledger.name}/{record.id}"
        found.expect(losses == [e.metrics["loss"] for e in record.epochs], f"{name}: another curve")
        for score, vector in scores.items():
            same = np.array_equal(ledger.scores(record.id, score), vector)
            found.expect(same, f"{name}: other {score} scores")
        found.counts["trials equal to an unbroken run"] += 1
