"""Products: what may score a machine's new recordings, and which of it is handed over.

There is the best single detector, several joined, and a student of an ensemble. By labels the choice is
between what each is worth on clips that didn't choose it, and a costlier one has to be surely better.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from humtune.errors import HumtuneError
from humtune.ledger import Ledger
from humtune.metrics.bootstrap import resample
from humtune.metrics.cells import Array, Cells
from humtune.metrics.cross_fitting import cross_fit_choosers
from humtune.results.archive import read_archive
from humtune.results.candidates import choose
from humtune.results.contributions import kind_of_trial
from humtune.results.ensembles.agreement import MOST
from humtune.results.ensembles.candidates import CALIBRATION, UNLABELLED, CalibrationName, gather
from humtune.results.ensembles.leaving import check_leaving, machine_scores
from humtune.results.ensembles.make import build
from humtune.results.ensembles.record import EnsembleRecord, Settings, find_ensemble
from humtune.results.ensembles.worth import CHOSEN, EVERY, SINGLE, Worth, fixed, greedy
from humtune.results.measure import NOISE_SAMPLES, Measured, measure
from humtune.results.reading import labelled_clips
from humtune.results.students import STUDENT, find_comparison, find_students

SIZES = (2, 3, 5, 8)  # members at most, of the ensembles that are chosen between
SURE = 1.28  # deviations that a costlier product's lead has to pass: of equal ones one in ten does


@dataclass(frozen=True, eq=False)
class Product:
    """A detector of new recordings, before there is a model of it."""

    way: str  # SINGLE, CHOSEN, EVERY or STUDENT
    ledger: Ledger  # of its trials
    scores: Array  # [N], of the scored clips, as of recordings that tell no section
    splits: Array  # [S], cross-fitted Ω, of the same splits for all products; [0] where it isn't known
    networks: int = 1  # that a clip goes through
    seconds: float = 0.0  # for a clip, measured beside others of as many networks
    record: EnsembleRecord | None = None  # of what is joined
    measured: Measured | None = None  # of a single detector that isn't the machine's best

    @property
    def name(self) -> str:
        """What a sentence calls it."""
        if self.measured and (best := self.measured.best):
            return f"{best.trial.id} {best.score_type}"
        if self.record is None:
            return f"the {self.way}"
        if self.way == EVERY:
            return f"{self.networks} trials together"
        return f"an ensemble of {len(self.record.machine_wide)}"

    @property
    def cost(self) -> tuple[float, float]:
        """What it is dearer by than another one: networks, then seconds."""
        return self.networks, self.seconds

    def omegas(self, other: "Product") -> tuple[float, float]:
        """Cross-fitted Ω of this and of another one, on the splits that both have; NaN without such."""
        shared = min(len(self.splits), len(other.splits))
        own, others = self.splits[:shared], other.splits[:shared]
        return (float(own.mean()), float(others.mean())) if shared else (np.nan, np.nan)


def choose_product(products: Sequence[Product], cells: Cells | None, *, sure: float = SURE) -> Product:
    """The best of the cheapest `products`, which come first, unless a costlier one is surely better.

    Surely: its lead in cross-fitted Ω is above `sure` standard deviations of the paired difference over draws
    of the clips. With 0 the highest is taken, whatever it costs. Where nothing is cross-fitted, it is what
    joins most: a choice that no label supports would be none.
    """
    known = [product for product in products if len(product.splits)]
    if cells is None or not known:
        return max(products, key=lambda p: (p.record is not None, p.networks, p.way == SINGLE))
    drawn = resample(np.stack([product.scores for product in known]), cells, samples=NOISE_SAMPLES).samples
    best = 0
    for k in range(1, len(known)):
        own, least = known[k].omegas(known[best])
        if known[k].cost > known[best].cost:
            least += sure * (drawn[k] - drawn[best]).std()
        best = k if own > least else best
    return known[best]


def find_products(
    ledger: Ledger,
    measured: Measured,
    *,
    calibration: CalibrationName = CALIBRATION,
    sizes: Sequence[int] = SIZES,
    most: int | None = MOST,
    anew: bool = False,
    students: bool = True,
) -> tuple[list[Product], Cells | None, str]:
    """A machine's products, the cheapest first; the clips that choose between them, and why one is missing.

    `measured` is the best detector that can be exported. The search's ensemble is the only one that is
    joined. Where it has none, or `anew`, ensembles of `sizes` members at most are chosen by labels, and all
    trials, the `most` heaviest, score together without; nothing is written. `students` of the ensemble are
    among them unless they are damaged.
    """
    machine, single = measured.machine, single_product(ledger, measured)
    cells = labelled_clips(measured.clips).choosing if len(single.splits) else None
    found, joined, note, damaged = [single], list[Product](), "", ""
    try:
        found += _students(ledger, machine) if students else ()
    except HumtuneError as error:
        damaged = str(error)
    try:
        if (record := find_ensemble(ledger, machine)) and not anew:
            joined = [_kept(ledger, record, cells)]
    except HumtuneError as error:  # a member can't leave, or has other scores now
        note = str(error)
    try:
        joined = joined or list(_joined(ledger, single, machine, cells, calibration, sizes, most))
    except HumtuneError as error:  # too few held-out clips to bring scores to one scale
        note = note or str(error)
    notes = "; ".join(filter(None, (note, damaged)))
    return sorted(found + joined, key=lambda product: product.cost), cells, notes


def single_product(ledger: Ledger, measured: Measured) -> Product:
    """A machine's best detector; HumtuneError where no trial is complete."""
    if measured.scores is None:
        raise HumtuneError("; ".join(measured.notes))
    fitted = measured.cross_fitted
    return Product(SINGLE, ledger, measured.scores, fitted.splits if fitted else np.zeros(0))


def other_single(ledger: Ledger, known: Sequence[Measured]) -> Product | None:
    """The best detector of another kind than those `known` of a machine; None without such."""
    kinds = {kind_of_trial(found.best.trial) for found in known if found.best}
    found = measure(ledger, known[0].machine, exportable=True, without=kinds)
    return replace(single_product(ledger, found), measured=found) if found.best else None


def _students(ledger: Ledger, machine: str) -> Iterator[Product]:
    """The best student of the machine's ensemble, where it stands beside its teacher, of the same clips."""
    students = find_students(ledger)
    own = students.plan.machines.get(machine) if students else None
    if not students or not own or own.data_hash != ledger.plan.machines[machine].data_hash:
        return
    best, known = choose(students.trials_of(machine), exportable=True), find_comparison(students, machine)
    if best and known and known.side(STUDENT).name == f"{best.trial.id} {best.score_type}":
        student, single = known.side(STUDENT), known.side(SINGLE)
        scores = students.scores(best.trial.id, best.score_type)
        yield Product(
            STUDENT, students, scores, np.array(student.splits), seconds=student.seconds - single.seconds
        )


def _kept(ledger: Ledger, record: EnsembleRecord, cells: Cells | None) -> Product:
    """The ensemble that a search has; HumtuneError where it can't leave."""
    check_leaving(ledger, record)
    scores = machine_scores(ledger, record)
    if record.settings.by_labels:
        splits = np.array(record.compared.get(CHOSEN, ()))
    elif cells is None:
        splits = np.zeros(0)
    else:
        splits = cross_fit_choosers({EVERY: fixed(scores)}, scores, cells)[EVERY].splits
    return _product(ledger, record, scores, splits)


def _joined(
    ledger: Ledger,
    single: Product,
    machine: str,
    cells: Cells | None,
    calibration: CalibrationName,
    sizes: Sequence[int],
    most: int | None,
) -> Iterator[Product]:
    """What may be joined of a machine's trials: by labels, the fewest members first, and without."""
    clips, archive = ledger.clips(machine), read_archive(ledger, machine)
    plan = ledger.plan.machines[machine]
    together = gather(clips, archive, calibration=UNLABELLED, exportable=True)
    settings = Settings(
        members=most or len(together.members),
        calibration=UNLABELLED,
        judged_by=plan.judged_by,
        exportable=True,
        every=True,
        candidates=len(together.members),
    )
    every, scores = build(together, settings, data_hash=plan.data_hash)
    if cells is None:
        yield _product(ledger, every, scores, np.zeros(0))
        return
    candidates = gather(clips, archive, calibration=calibration, exportable=True)
    choosers = {EVERY: fixed(scores)} | {f"{CHOSEN} {size}": greedy(size) for size in sizes}
    fitted = cross_fit_choosers(choosers, candidates.scores, cells)
    compared = {SINGLE: single.splits, EVERY: fitted[EVERY].splits}
    seen = []
    for size in sizes:
        known = compared | {CHOSEN: fitted[f"{CHOSEN} {size}"].splits}
        worth = Worth({way: tuple(splits.tolist()) for way, splits in known.items()})
        # others 1: new recordings tell no section
        own = settings.model_copy(
            update={"members": size, "calibration": calibration, "every": False, "others": 1.0}
        )
        record, joined = build(candidates, own, worth=worth, data_hash=plan.data_hash)
        if len(record.members) > 1 and record.machine_wide not in seen:
            seen.append(record.machine_wide)
            yield _product(ledger, record, joined, known[CHOSEN])
    every = every.model_copy(update={"compared": {w: tuple(s.tolist()) for w, s in compared.items()}})
    yield _product(ledger, every, scores, compared[EVERY])


def _product(ledger: Ledger, record: EnsembleRecord, scores: Array, splits: Array) -> Product:
    way = CHOSEN if record.settings.by_labels else EVERY
    networks = len({member.trial for member in record.machine_wide})
    return Product(way, ledger, scores, splits, networks, record=record)
