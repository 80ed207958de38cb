"""Make MLflow equal to a ledger, trial by trial; the same call again changes nothing."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal, NamedTuple

from humtune.ledger import Ledger
from humtune.plan import Plan
from humtune.records import CONFIRM, TrialRecord, TrialState, of_machine
from humtune.results.candidates import Candidate, choose
from humtune.sounds.parallel import in_order
from humtune.tracking import pages, runs
from humtune.tracking.parent import Parent, Result, create_parent, settle, show, tell
from humtune.tracking.place import artifact_place, complaint, connect, exclusive, is_server, tracking_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

Progress = Callable[[Sequence[str]], Iterable[str]]  # passes the trials on, and shows how far they are

_PARENT = "mlflow.parentRunId"
_PAGE = 1000
_WRITERS = 4  # trials on their way to a server at a time; a database file takes one writer


@dataclass(frozen=True)
class Synced:
    """What a sync did to the runs of trials."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0


@dataclass(frozen=True)
class _Child:
    run_id: str
    digest: str  # of the record that the run is level with
    best: bool = False
    said: runs.Said | None = None  # of a trial that ran when we wrote the run


class _Levelled(NamedTuple):
    """A trial whose run is level with its record."""

    record: TrialRecord
    child: _Child
    outcome: Literal["created", "updated", "unchanged"]


class Tracker:
    """Brings MLflow level with one ledger, and remembers between calls what needs no look any more."""

    def __init__(self, ledger: Ledger, *, uri: str | None = None) -> None:
        self.uri = uri or tracking_uri(ledger.storage)
        self._ledger = ledger
        self._ends: bool | None = None
        self._sent: dict[str, str] = {}  # trial -> digest, as last seen in MLflow
        self._forget()

    def _forget(self) -> None:
        self._client: MlflowClient | None = None
        self._experiment = ""
        self._page = ""  # the experiment's description
        self._parents: dict[str, Parent] = {}
        self._children: dict[str, _Child] = {}
        self._ended: dict[str, Result] = {}  # trials that ended and whose runs are level

    def sync(self, progress: Progress = iter, *, ends: bool | None = None) -> Synced:
        """Bring every run up to date; a HumtuneError says why MLflow refused, and the next call mends it.

        `ends` says whether a run of the search is at its end, and so is what only its time ends; None: nobody
        knows, and it is over where it was, or where no trial runs.
        """
        self._ends = ends
        with exclusive(self.uri):
            try:
                self._client = self._client or connect(self.uri)
                return self._sync(self._client, progress)
            except BaseException as error:
                self._forget()
                if isinstance(error, Exception) and (said := complaint(self.uri, error)):
                    raise said from error
                raise

    def behind(self) -> int:
        """How many trials MLflow does not know as the ledger does."""
        return sum(self._sent.get(record.id) != runs.digest(record) for record in self._ledger.records())

    def _sync(self, client: "MlflowClient", progress: Progress) -> Synced:
        plan = self._ledger.plan
        trials = self._trials()
        open_trials = [trial for trial in trials if trial not in self._ended]
        self._look_up(client, plan, open_trials)
        done = Counter(unchanged=len(trials) - len(open_trials))
        level = partial(self._level, client, plan)
        levelled = in_order(level, open_trials, workers=_WRITERS if is_server(self.uri) else 1)
        for _, trial in zip(progress(open_trials), levelled, strict=True):
            if trial:
                self._remember(trial)
                done[trial.outcome] += 1
        records = [result.record for result in self._ended.values()]
        bests = {study: choose(of_machine(records, study)) for study in plan.studies}
        marked = self._mark_best(client, {best.trial.id for best in bests.values() if best})
        parents = [self._level_parent(client, plan, s, best, marked=marked) for s, best in bests.items()]
        self._describe(client, parents)
        return Synced(**done)

    def _trials(self) -> list[str]:
        return self._ledger.storage.list(self._ledger.layout.trials)

    def _look_up(self, client: "MlflowClient", plan: Plan, trials: list[str]) -> None:
        """Learn which runs there are: all of them at first, later those that a new trial may have already."""
        if not self._experiment:
            self._experiment = find_experiment(client, self.uri, self._ledger)
            found = self._search(client, plan, since=0)
        elif strangers := [trial for trial in trials if trial not in self._children]:
            records = [record for trial in strangers if (record := self._ledger.find(trial))]
            since = min((runs.milliseconds(record.started) for record in records), default=None)
            found = [] if since is None else self._search(client, plan, since=since)
        else:
            return
        for run in (run for run in found if runs.TRIAL not in run.data.tags):
            machine = run.data.tags[runs.MACHINE]
            if self._parents.setdefault(machine, Parent.of(run)).run_id != run.info.run_id:
                client.delete_run(run.info.run_id)
        for machine in (study for study in plan.studies if study not in self._parents):
            self._parents[machine] = create_parent(client, self._experiment, plan, machine)
        for run in (run for run in found if runs.TRIAL in run.data.tags):
            self._adopt(client, run)

    def _search(self, client: "MlflowClient", plan: Plan, *, since: int) -> list["Run"]:
        wanted = f"tags.`{runs.CREATED}` = '{plan.created!r}' and attributes.start_time >= {since}"
        page = client.search_runs([self._experiment], wanted, max_results=_PAGE)
        found = list(page)
        while page.token:
            page = client.search_runs([self._experiment], wanted, max_results=_PAGE, page_token=page.token)
            found.extend(page)
        return found

    def _adopt(self, client: "MlflowClient", run: "Run") -> None:
        """Remember a trial's run; of two that two writers made, one stays."""
        tags = run.data.tags
        is_below = tags.get(_PARENT) == self._parents[tags[runs.MACHINE]].run_id
        digest = tags.get(runs.DIGEST, "") if is_below else ""
        child = _Child(run.info.run_id, digest, best=tags.get(runs.BEST) == "true")
        known = self._children.get(tags[runs.TRIAL], child)
        if known.run_id != child.run_id:
            client.delete_run(child.run_id)
        else:
            self._children[tags[runs.TRIAL]] = child

    def _level(self, client: "MlflowClient", plan: Plan, trial: str) -> _Levelled | None:
        """Bring one trial's run up to date, in any thread; None where there is no record yet."""
        record = self._ledger.find(trial)
        if record is None:
            return None
        child, digest = self._children.get(trial), runs.digest(record)
        if child is not None and child.digest == digest:
            return _Levelled(record, child, "unchanged")
        tags = runs.lookup_tags(plan, record.machine) | {
            runs.TRIAL: trial,
            _PARENT: self._parents[record.machine].run_id,
        }
        known = child.run_id if child else None
        said = child.said if child else None
        run_id, said = runs.level_run(client, self._experiment, record, run_id=known, said=said, tags=tags)
        is_best = child is not None and child.best and child.run_id == run_id
        now = _Child(run_id, digest, is_best, said if record.state == TrialState.RUNNING else None)
        return _Levelled(record, now, "updated" if child else "created")

    def _remember(self, levelled: _Levelled) -> None:
        record, child, _ = levelled
        self._children[record.id], self._sent[record.id] = child, child.digest
        if record.state != TrialState.RUNNING:
            self._ended[record.id] = Result.of(record)

    def _level_parent(
        self, client: "MlflowClient", plan: Plan, study: str, best: Candidate | None, *, marked: set[str]
    ) -> pages.MachineSummary:
        """Bring the run of a machine, or of all, up to date; what there is to tell of it."""
        parent = self._parents[study]
        results = [seen for result in self._ended.values() if (seen := result.seen_by(study))]
        named = None
        if best:
            child = self._children[best.trial.id]
            if child.digest != parent.shown or best.trial.id in marked:
                place = {"run_id": child.run_id, "digest": child.digest}
                parent = show(client, self._ledger, parent, best=best, **place, results=results)
            named = pages.Best(best, self._experiment, child.run_id)
        parent = settle(client, parent, results=results, over=bool(results) and self._over(plan, study))
        if named:
            parent = tell(client, self._ledger, parent, best=named, results=results)
        self._parents[study] = parent
        return pages.MachineSummary(study, named, [result.record for result in results])

    def _over(self, plan: Plan, study: str) -> bool:
        """Whether all trials have ended that may be a machine's best."""
        ended = Counter(r.machine for r in self._ended.values() if r.record.origin != CONFIRM)
        studies = [s for s in plan.studies if s == study or plan.is_shared(s)]
        counted = [s for s in studies if not plan.is_endless(s)]
        over = all(ended[s] >= plan.quota(s) for s in counted)
        if over and len(counted) < len(studies):
            was = self._parents[study].status == "FINISHED" or len(self._children) == len(self._ended)
            over = was if self._ends is None else self._ends
        return over

    def _describe(self, client: "MlflowClient", machines: Sequence[pages.MachineSummary]) -> None:
        """Tell on the experiment's page what there is; what a person wrote there stays."""
        text = pages.search_page(self._experiment, machines)
        if text == self._page:
            return
        held = client.get_experiment(self._experiment).tags
        wanted = pages.views(next((m.best.candidate.trial.judged_by for m in machines if m.best), "omega"))
        if pages.may_write(held.get(pages.NOTE, "")):
            wanted[pages.NOTE] = text
        for key, value in wanted.items():
            if held.get(key) != value:
                client.set_experiment_tag(self._experiment, key, value)
        self._page = text

    def _mark_best(self, client: "MlflowClient", bests: set[str]) -> set[str]:
        """Have the best trials' runs alone say so; those that did not say so before."""
        marked = set()
        for trial, child in self._children.items():
            is_best = trial in bests
            if child.best == is_best:
                continue
            if is_best:
                client.set_tag(child.run_id, runs.BEST, "true", synchronous=True)
                marked.add(trial)
            else:
                client.delete_tag(child.run_id, runs.BEST)
            self._children[trial] = replace(child, best=is_best)
        return marked


def sync(ledger: Ledger, *, uri: str | None = None, progress: Progress = iter) -> Synced:
    """Make MLflow equal to the ledger, wherever it was; `uri` is `tracking_uri` of the ledger's storage."""
    return Tracker(ledger, uri=uri).sync(progress)


def find_experiment(client: "MlflowClient", uri: str, ledger: Ledger) -> str:
    """The id of the search's experiment: found, taken out of MLflow's bin, or made."""
    found = client.get_experiment_by_name(ledger.name)
    if found is None:
        place = artifact_place(uri, ledger.storage, ledger.name)
        return str(client.create_experiment(ledger.name, artifact_location=place))
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)
