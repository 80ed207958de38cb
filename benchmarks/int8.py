"""What int8 costs: the Ω of a search's trials by their networks, and by the same networks in int8.

    python benchmarks/int8.py quick --storage humtune-runs

Every complete trial's network is quantised as `humtune export --int8` does it, and scores the machine's clips
again. Ω (official, %) of every score type on the labelled clips of the dev set and of the evaluation set, and
the rank correlation of both networks' scores.
"""

import argparse
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr

from humtune.detectors.detector import Detector
from humtune.export.blueprint import load_detector
from humtune.export.quantised import quantise
from humtune.ledger import Ledger
from humtune.metrics.omega import evaluate
from humtune.records import TrialState
from humtune.results.reading import labelled_clips
from humtune.sounds.bank import ClipBank
from humtune.sounds.parallel import tracked
from humtune.sounds.table import SCORED, ClipTable, Role
from humtune.storage import Storage

Scores = dict[str, NDArray[np.float64]]


def scores_of(detector: Detector, bank: ClipBank, clips: ClipTable) -> Scores:
    """The ledger's scores [N] of every type; NaN at the probes, which are not recordings."""
    scored = bank.table.having(*SCORED)
    made = {}
    for kind, scores in detector.score(detector.encode(bank, scored)).items():
        made[kind] = np.full(len(clips), np.nan)
        made[kind][clips.role != str(Role.PROBE)] = scores
    return made


def omegas(scores: NDArray[np.float64], clips: ClipTable) -> Iterator[float]:
    """Ω on the clips that choose and on those that report; NaN without."""
    labelled = labelled_clips(clips)
    for cells in (labelled.choosing, labelled.reported):
        yield 100 * float(evaluate(scores, cells).omega_official) if cells else float("nan")


def main() -> None:
    """Quantise, score, compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", help="a search that has run")
    parser.add_argument("--storage", default="humtune-runs")
    words = parser.parse_args()
    ledger = Ledger.open(Storage(words.storage), words.name)
    records = [r for r in ledger.records() if r.state == TrialState.COMPLETE]
    table = Table("trial", "score")
    for column in ("dev", "int8", "eval", "int8", "correlation"):
        table.add_column(column, justify="right")
    moves = []
    for record in tracked(records, total=len(records), title="trials"):
        bank, clips = ledger.bank(record.machine), ledger.clips(record.machine)
        detector = load_detector(ledger, record, bank)
        before, after = (scores_of(d, bank, clips) for d in (detector, quantise(detector, bank)))
        for kind, scores in before.items():
            pairs = list(zip(omegas(scores, clips), omegas(after[kind], clips), strict=True))
            moves += [abs(small - full) for full, small in pairs]
            known = np.isfinite(scores)
            rank = spearmanr(scores[known], after[kind][known]).statistic
            table.add_row(record.id, kind, *(f"{o:.1f}" for pair in pairs for o in pair), f"{rank:.4f}")
    console = Console()
    console.print(table)
    console.print(f"Ω moves by {np.nanmean(moves):.2f} on average, by {np.nanmax(moves):.2f} at most")


if __name__ == "__main__":
    main()
