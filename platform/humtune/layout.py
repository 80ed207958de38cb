"""Where a storage keeps what: the names of a search's files, and of what lies beside the searches.

<storage>/<search>/plan.json                     what was asked for, and what was found of its machines
<storage>/<search>/clips/<machine>.json          the clips and probes that are scored, and their labels
<storage>/<search>/warm/<machine>.json           what an earlier search found
<storage>/<search>/trials/<id>/record.json       one trial that has ended: configuration, metrics, state
<storage>/<search>/trials/<id>/progress.json     the same of one that runs, or did when it was broken off
<storage>/<search>/trials/<id>/scores/<type>.npy float64, one score a clip, in the order of clips/
<storage>/<search>/trials/<id>/machines/<machine>/     of a shared trial: scores and reference of each machine
<storage>/<search>/trials/<id>/holder            which process may write it: the last that began it
<storage>/<search>/trials/<id>/checkpoint.pt     how far it is, while it runs
<storage>/<search>/trials/<id>/detector.pt       what it made, and reference.pt of the best
<storage>/<search>/ensembles/<machine>.json      members, calibration, weights, figures
<storage>/<search>/ensembles/<machine>.npy       float64, one score a clip, in the order of clips/
<storage>/<search>/lessons/<machine>.json        of a search of students: what they learn of which clips
<storage>/<search>/students/<machine>.json       and what the best of them is worth beside its teacher
<storage>/<search>/archive/<machine>.parquet     a copy of all records and scores, to be read at once
<storage>/<search>/archive/<machine>-kinds.json  what its kinds of detectors are worth, of which trials
<storage>/<search>/report/                       tables and plots, made again by each report
<storage>/<search>/lease                         who may write trials: the last that began or resumed
<storage>/<search>/stop                          that somebody wishes it to end
<storage>/banks, mlflow.db, mlflow-artifacts     what the searches share
<storage>/recordings/<machine>                   the data set that `humtune learn` made of a folder
"""

from dataclasses import dataclass

BANKS, DATABASE, ARTIFACTS, RECORDINGS = "banks", "mlflow.db", "mlflow-artifacts", "recordings"
TAKEN = (BANKS, RECORDINGS, ARTIFACTS, DATABASE, f"{DATABASE}.lock")  # what no search can be called


@dataclass(frozen=True)
class Layout:
    """The names that a storage has for one search's files."""

    search: str

    @property
    def plan(self) -> str:
        """The plan; a folder without it is no search."""
        return f"{self.search}/plan.json"

    @property
    def lease(self) -> str:
        """Who may write trials."""
        return f"{self.search}/lease"

    @property
    def stop(self) -> str:
        """The mark of a wish that the search should end."""
        return f"{self.search}/stop"

    def clips(self, machine: str) -> str:
        """A machine's scored clips."""
        return f"{self.search}/clips/{machine}.json"

    def warm(self, machine: str) -> str:
        """What an earlier search found for a machine."""
        return f"{self.search}/warm/{machine}.json"

    def archive(self, machine: str) -> str:
        """The copy of a machine's records and scores."""
        return f"{self.search}/archive/{machine}.parquet"

    def standings(self, machine: str) -> str:
        """What a machine's kinds of detectors were found to be worth."""
        return f"{self.search}/archive/{machine}-kinds.json"

    @property
    def report(self) -> str:
        """The folder of the report's tables and plots."""
        return f"{self.search}/report"

    @property
    def ensembles(self) -> str:
        """The folder of all ensembles."""
        return f"{self.search}/ensembles"

    def ensemble(self, machine: str) -> str:
        """A machine's ensemble."""
        return f"{self.ensembles}/{machine}.json"

    def ensemble_scores(self, machine: str) -> str:
        """The scores of a machine's ensemble."""
        return f"{self.ensembles}/{machine}.npy"

    def lesson(self, machine: str) -> str:
        """What a machine's students learn."""
        return f"{self.search}/lessons/{machine}.json"

    def student(self, machine: str) -> str:
        """What a machine's best student is worth beside its teacher."""
        return f"{self.search}/students/{machine}.json"

    @property
    def trials(self) -> str:
        """The folder of all trials, a folder each."""
        return f"{self.search}/trials"

    def trial(self, trial: str) -> str:
        """A trial's folder; of a shared one also `<id>/machines/<machine>`, here and below."""
        return f"{self.trials}/{trial}"

    def record(self, trial: str) -> str:
        """The record of a trial that has ended."""
        return f"{self.trial(trial)}/record.json"

    def progress(self, trial: str) -> str:
        """The record of a trial that runs; a folder without either is no trial."""
        return f"{self.trial(trial)}/progress.json"

    def holder(self, trial: str) -> str:
        """Who may write a trial."""
        return f"{self.trial(trial)}/holder"

    def scores(self, trial: str) -> str:
        """The folder of a trial's scores."""
        return f"{self.trial(trial)}/scores"

    def score(self, trial: str, score_type: str) -> str:
        """A trial's scores of one type."""
        return f"{self.scores(trial)}/{score_type}.npy"

    def checkpoint(self, trial: str) -> str:
        """How far a trial is, while it runs."""
        return f"{self.trial(trial)}/checkpoint.pt"

    def detector(self, trial: str) -> str:
        """What a trial made."""
        return f"{self.trial(trial)}/detector.pt"

    def reference(self, trial: str) -> str:
        """The embeddings that a trial's detector compares with, where they were kept."""
        return f"{self.trial(trial)}/reference.pt"
