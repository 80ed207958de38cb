"""How soon a search is as good as another one becomes: `auto` against `heads`, on the same recordings.

    humtune data synth data --machines fan,valve --clips 40
    python benchmarks/time_to_omega.py data --hours 1 [--seeds 0,1,2] [--spaces auto,heads] [--omega 85]

For each seed both spaces are searched, one after the other, for so many hours each. A search is worth, at the
end of each of its trials, the cross-fitted Ω of the best single candidate until then, averaged over machines.
Told are that at the end, the seconds from the plan until it is at --omega (without it: what the second space
reaches at its end), and how many times as long the second one takes.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from humtune.ledger import Ledger
from humtune.metrics.cells import Cells
from humtune.metrics.cross_fitting import cross_fit
from humtune.results.archive import read_archive, trial_stamps
from humtune.results.candidates import candidates
from humtune.sounds.table import Role
from humtune.storage import Storage


def curve(ledger: Ledger) -> Iterator[tuple[float, float]]:
    """Seconds since the plan and what the search is worth then, from when every machine has a trial on."""
    plan, stamps = ledger.plan, trial_stamps(ledger)
    archives = {machine: read_archive(ledger, machine, stamps=stamps) for machine in plan.machines}
    cells = {machine: Cells.of(ledger.clips(machine), Role.SELECT) for machine in plan.machines}
    found = {machine: archive.candidates() for machine, archive in archives.items()}
    ends = sorted({c.trial.ended for own in found.values() for c in own if c.trial.ended})
    worth: dict[str, tuple[int, float]] = {}
    for end in ends:
        for machine, archive in archives.items():
            until = candidates(c for c in archive.usable(archive.records) if c.ended and c.ended <= end)
            if until and worth.get(machine, (0, 0.0))[0] != len(until):
                worth[machine] = len(until), cross_fit(archive.of(until), cells[machine]).mean
        if len(worth) == len(archives):
            yield end - plan.created, float(np.mean([value for _, value in worth.values()]))


def reached(points: list[tuple[float, float]], omega: float) -> float | None:
    """Seconds until a curve is at some Ω; None where it never is."""
    return next((seconds for seconds, value in points if value >= omega), None)


def search(space: str, words: argparse.Namespace, seed: int) -> Ledger:
    """Search a space from a seed for so long, or read the search that did."""
    storage, name = Storage(words.storage), f"{space}-{seed}"
    if not storage.exists(f"{name}/plan.json"):
        words.storage.mkdir(parents=True, exist_ok=True)
        file = words.storage / f"{name}.yaml"
        file.write_text(f"extends: {space}\nseed: {1_000_000 * seed}\n")
        asked = ["search", file, "--data", words.data, "--hours", words.hours, "--storage", words.storage]
        subprocess.run([sys.executable, "-m", "humtune.cli.main", *map(str, asked)], check=True)
    return Ledger.open(storage, name)


def main() -> None:
    """Search and tell."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="a folder of recordings")
    parser.add_argument("--hours", type=float, default=1.0, help="of each search")
    parser.add_argument("--seeds", default="0", help="with commas between them")
    parser.add_argument("--spaces", default="auto,heads", help="two of them")
    parser.add_argument("--omega", type=float, help="in percent")
    parser.add_argument("--storage", type=Path, default=Path("humtune-runs"))
    words = parser.parse_args()
    first, second = words.spaces.split(",")
    for seed in map(int, words.seeds.split(",")):
        curves = {space: list(curve(search(space, words, seed))) for space in (first, second)}
        if not all(curves.values()):
            print(f"seed {seed}: no trial of every machine in {words.hours:g} h")
            continue
        wanted = words.omega / 100 if words.omega else curves[second][-1][1]
        took = {space: reached(points, wanted) for space, points in curves.items()}
        for space, points in curves.items():
            told = "never" if took[space] is None else f"after {took[space]:.0f} s"
            end, value = points[-1]
            print(f"seed {seed}: {space}: {100 * value:.1f} after {end:.0f} s; at {100 * wanted:.1f} {told}")
        fast, slow = took[first], took[second]
        if fast and slow:
            print(f"seed {seed}: {second} takes {slow / fast:.1f} times as long as {first}")


if __name__ == "__main__":
    main()
