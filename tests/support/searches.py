"""Searches made by hand: small ledgers with trials whose scores are noise plus a known skill."""

import numpy as np

from humtune.detectors.classifier.heads import VariationalHead
from humtune.detectors.classifier.recipe import Classifier
from humtune.detectors.frontends import Spectrogram
from humtune.ledger import Ledger
from humtune.metrics.cells import Cells
from humtune.metrics.omega import omega
from humtune.plan import Asked, Machine, Plan
from humtune.records import Epoch, TrialRecord, TrialState, trial_id
from humtune.sounds.table import ANOMALY, NORMAL, SOURCE, TARGET, UNKNOWN, ClipTable, Role
from humtune.storage import Storage


def clip_table(
    machine, *, per_cell=10, held_out=30, sections=(0, 1), report=True, truth=True, domains=True, hidden=0
):
    """Selecting, hidden and held-out clips, and (with or without truth) clips that are only reported."""
    cells = [(d, y) for d in (SOURCE, TARGET) for y in (NORMAL, ANOMALY)]
    rows = [("train", 0, SOURCE, NORMAL, Role.HELD_OUT)] * held_out
    rows += [
        ("test", s, d, y, Role.HIDDEN if i < hidden else Role.SELECT)
        for s in sections
        for d, y in cells
        for i in range(per_cell)
    ]
    if report:
        known = [(d, y) if truth else (UNKNOWN, UNKNOWN) for d, y in cells]
        rows += [
            ("test", s + 3, d, y, Role.REPORT) for s in sections for d, y in known for _ in range(per_cell)
        ]
    split, section, domain, label, role = zip(*rows, strict=True)
    return ClipTable.from_columns(
        machine=machine,
        name=[f"{machine}_{i:04d}.wav" for i in range(len(rows))],
        part=["eval" if r == Role.REPORT else "dev" for r in role],
        split=split,
        section=section,
        domain=domain if domains else [UNKNOWN] * len(rows),
        label=label,
        attributes=[""] * len(rows),
        role=[str(r) for r in role],
    )


class Bench:
    """Makes ledgers and fills them with trials."""

    def __init__(self, storage: Storage):
        self.storage = storage

    def search(self, name="fans", *, clips=None, trials=4, machines=("fan", "valve"), space=None) -> Ledger:
        tables = clips or {machine: clip_table(machine) for machine in machines}
        ledger = Ledger(self.storage, name)
        plan = Plan(
            name=name,
            created=1.7e9,
            version="0",
            asked=Asked(space=space or {}, data="recordings", trials=trials),
            machines=dict.fromkeys(tables, Machine(bank="bank", data_hash="0")),
        )
        ledger.create(plan, tables)
        return ledger

    def trial(
        self,
        ledger,
        machine,
        number,
        *,
        skill=0.0,
        state=TrialState.COMPLETE,
        epochs=3,
        gains=None,
        mu=None,
        **changes,
    ):
        """Write a trial: its scores are noise, and higher by `skill` × their gain for anomalies."""
        table = ledger.clips(machine)
        rng = np.random.default_rng([number, len(machine)])
        scores = {
            name: rng.normal(size=len(table)) + skill * gain * (table.label == ANOMALY)
            for name, gain in (gains or {"cosine": 1, "nll": 0.5}).items()
        }
        curve = [
            {"loss": 2 / (i + 1), "accuracy": 0.5 + i / 100, "omega": 0.5 + i / 50} for i in range(epochs)
        ]
        record = TrialRecord(
            id=trial_id(machine, number),
            machine=machine,
            number=number,
            origin="sampler",
            params={"head.mu": 5.0 + number if mu is None else mu},
            config=Classifier(
                spectrogram=Spectrogram(n_fft=512, chunk_frames=128, n_mels=None, db=False),
                head=VariationalHead(mu=5.0 + number if mu is None else mu, sigma2=0.5, beta_class=10),
            ),
            state=state,
            started=1.7e9 + 60 * number,
            ended=None if state == TrialState.RUNNING else 1.7e9 + 60 * number + 50,
            seconds=50,
            epochs=[Epoch(epoch=i + 1, ended=1.7e9, seconds=5, metrics=m) for i, m in enumerate(curve)],
        )
        if state == TrialState.COMPLETE:
            cells = Cells.of(table, Role.SELECT)
            record = record.model_copy(
                update={"omega": {name: float(omega(vector, cells)) for name, vector in scores.items()}}
            )
            ledger.write_scores(record.id, scores)
        if "config" in changes:
            changes["config"] = changes["config"].model_dump(mode="json")
        record = record.model_copy(update=changes)
        ledger.write(record)
        return record
