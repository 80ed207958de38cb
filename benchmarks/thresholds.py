"""How often a threshold raises false alarms, beside how often it was meant to: quantile and gamma fit.

    python benchmarks/thresholds.py FOLDER... [--draws 200]

Each folder holds score files of real systems, one folder a system, whose clip names carry domain and label
(those of the DCASE 2022 development set, say). Of the normal clips of a machine and domain, n are drawn as
held-out clips and the rest counts the alarms: so that nothing but the number of clips and the fit matter.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from humtune.dcase.files import read_folder
from humtune.metrics.calibration import FITS, false_alarm_rate, threshold_from
from humtune.sounds.clip import Clip
from humtune.sounds.table import NORMAL

CLIPS = (20, 50, 100)
RATES = (0.01, 0.05, 0.1)


def normal_scores(folder: Path) -> list[np.ndarray]:
    """Scores of the normal clips of each machine and domain."""
    found: dict[tuple[str, int], list[float]] = defaultdict(list)
    for machine, scores in read_folder(folder).items():
        for name, score in scores.items():
            clip = Clip.parse(Path(name), machine=machine, part="dev", split="test")
            if clip.label == NORMAL:
                found[machine, clip.domain].append(score)
    return [np.array(scores) for scores in found.values()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--draws", type=int, default=200)
    words = parser.parse_args()
    rng = np.random.default_rng(0)
    pools = [pool for folder in words.folders for pool in normal_scores(folder) if len(pool) > CLIPS[-1]]
    rates = defaultdict(list)
    for pool in track(pools, description="drawing"):
        for clips in CLIPS:
            for _ in range(words.draws):
                order = rng.permutation(len(pool))
                held_out, rest = pool[order[:clips]], pool[order[clips:]]
                for wanted in RATES:
                    for fit in FITS:
                        threshold = threshold_from(held_out, false_alarms=wanted, fit=fit).value
                        rates[wanted, clips, fit].append(false_alarm_rate(rest, threshold))
    table = Table("wanted %", "held-out clips", *(f"{fit} %" for fit in FITS))
    for wanted in RATES:
        for clips in CLIPS:
            cells = (rates[wanted, clips, fit] for fit in FITS)
            table.add_row(
                f"{100 * wanted:g}",
                str(clips),
                *(f"{100 * np.mean(c):.1f} ({100 * np.std(c):.1f})" for c in cells),
            )
    console = Console()
    console.print(f"{len(pools)} machines and domains, {words.draws} draws each")
    console.print(table)
    console.print("mean false-alarm rate on the other normal clips (standard deviation over draws)")


if __name__ == "__main__":
    main()
