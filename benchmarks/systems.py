"""Published systems side by side: what each reaches, and what it costs to fit and to score with.

    humtune search systems/tiny --data recordings --seeds 3 --name tiny
    humtune ensemble tiny
    python benchmarks/systems.py tiny [NAME …] [--storage humtune-runs] [--write docs/systems.md]

For each machine and system: official Ω (%) on the labelled clips that chose, by the system's own score (the
first of its list), with the 90 % interval that other clips would have given, and cross-fitted over all of its
scores, both means over the seeds; seconds of one thread to fit, foretold by a few steps that are timed now;
its milliseconds for a clip, from samples to scores. Below it the ensemble over all systems beside the best
single candidate, cross-fitted on the same halves of the clips.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import torch
from pages import fill

from humtune.detectors.recipe import recipe_of
from humtune.export.blueprint import load_detector
from humtune.formatting.text import to_markdown
from humtune.ledger import Ledger
from humtune.metrics.bootstrap import Resampled, resample
from humtune.records import TrialRecord
from humtune.results.candidates import complete_trials
from humtune.results.ensembles.record import find_ensemble
from humtune.results.points import group_by, measure_points
from humtune.results.reading import labelled_clips
from humtune.sounds.joined import expose, join_banks
from humtune.sounds.parallel import tracked
from humtune.sounds.table import SCORED
from humtune.storage import Storage

CLIPS = 20  # whose scoring is timed, one by one


def omega(ledger: Ledger, trials: list[TrialRecord]) -> str:
    """Ω of the trials' own score: the mean over the seeds, and its interval over other clips."""
    machine = trials[0].machine
    clips = ledger.clips(machine)
    cells = labelled_clips(clips).choosing
    if cells is None:
        return "–"
    own = recipe_of(trials[0].config).scores[0]
    vectors = [ledger.scores(t.folder, own, clips=len(clips)) for t in trials]  # of the same clips
    draws = [resample(vector, cells) for vector in vectors]
    together = Resampled(
        np.mean([d.estimate for d in draws], axis=0),
        np.mean([d.samples for d in draws], axis=0),
        draws[0].values,
        draws[0].draws,
    )
    interval = together.interval()
    low, value, high = (100 * float(x) for x in (interval.low, together.estimate, interval.high))
    return f"{value:.1f} ({low:.1f} – {high:.1f}) {own}"


def seconds(ledger: Ledger, trial: TrialRecord) -> float:
    """What one thread takes for a trial, foretold by a few steps that are timed now."""
    recipe, bank = recipe_of(trial.config), replace(ledger.bank(trial.machine), place=None)
    if trial.is_shared or recipe.exposed:
        banks = [ledger.bank(machine) for machine in ledger.plan.machines]
        others = [other for other in banks if other.table.machine != trial.machine]
        bank = join_banks(banks) if trial.is_shared else expose(bank, others)
    return recipe.estimate(bank, device="cpu", bf16=False, compiled=False, measured=1).trial_seconds


def milliseconds(ledger: Ledger, trial: TrialRecord) -> float:
    """What one thread takes for a clip; the median."""
    bank = replace(ledger.bank(trial.machine), place=None)  # with nothing kept of its clips
    detector = load_detector(ledger, trial, bank)
    fitted = detector.clip_scores()
    taken = []
    for clip in bank.table.having(*SCORED)[: CLIPS + 1]:
        began = perf_counter()
        encoded = detector.encode(bank, np.array([clip]))
        if detector.recipe.scoring.aggregation == "embedding":
            encoded = encoded.averaged()
        for score in fitted.values():
            score(encoded)
        taken.append(perf_counter() - began)
    return 1000 * median(taken[1:])


def rows(ledger: Ledger, machine: str) -> list[tuple[str, ...]]:
    """What each system of a search reached on a machine, and what it costs."""
    points = [p for p in measure_points(ledger)[0] if p.machine == machine]
    crossed = {(p.network, str(p.params)): p.cross_fitted for p in points}
    systems = group_by(complete_trials(ledger.trials_of(machine)), lambda t: (t.network, str(t.params)))
    found = []
    for system, seeds in tracked(systems.items(), total=len(systems), title=machine):
        values = {key.rpartition(".")[2]: value for key, value in seeds[0].params.items()}
        own = " ".join((ledger.name, *(f"{key}={value}" for key, value in values.items())))
        name = str(values.get("family", own))
        network = {"own": "", "shared": ", shared"}.get(seeds[0].network, ", fine-tuned")
        costs = (f"{seconds(ledger, seeds[0]):.0f}", f"{milliseconds(ledger, seeds[0]):.0f}")
        average = str(crossed.get(system) or "–")
        found.append((name + network, omega(ledger, seeds), average, str(len(seeds)), *costs))
    return found


def joined(ledger: Ledger, machine: str) -> str:
    """A sentence about the ensemble over all systems beside the best single candidate."""
    ensemble = find_ensemble(ledger, machine)
    if not ensemble or not {"best single", "ensemble"} <= ensemble.compared.keys():
        return f"No ensemble of {ledger.name} yet."
    single, both = (np.array(ensemble.compared[n]) * 100 for n in ("best single", "ensemble"))
    better = both - single
    return (
        f"The ensemble of {len(ensemble.members)} members in {ensemble.networks} networks of {ledger.name}: "
        f"{both.mean():.1f} against {single.mean():.1f} of the best single candidate, cross-fitted "
        f"({better.mean():+.1f} ± {better.std(ddof=1):.1f} over {len(better)} splits)."
    )


def page(ledgers: list[Ledger]) -> dict[str, str]:
    """A table and a sentence about the first search's ensemble for each machine, the highest Ω first."""
    lines: list[str] = []
    for machine in ledgers[0].plan.machines:
        found = [
            row for ledger in ledgers if machine in ledger.plan.machines for row in rows(ledger, machine)
        ]
        found.sort(key=lambda row: row[2], reverse=True)
        head = ("system", "Ω, own score", "Ω, cross-fitted", "seeds", "fit (s)", "clip (ms)")
        lines += [f"### {machine}", to_markdown(head, found), joined(ledgers[0], machine)]
    made = " ".join(["python benchmarks/systems.py", *(ledger.name for ledger in ledgers)])
    return {"systems": "\n\n".join(lines), "made by": f"```\n{made} --write docs/systems.md\n```"}


def main() -> None:
    """Measure searches of systems, and print their tables or fill a page with them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="+", metavar="NAME", help="searches that have run")
    parser.add_argument("--storage", default="humtune-runs")
    parser.add_argument("--write", type=Path, metavar="FILE", help="fill this page instead of printing it")
    words = parser.parse_args()
    torch.set_num_threads(1)
    found = page([Ledger.open(Storage(words.storage), name) for name in words.names])
    if words.write:
        fill(words.write, found)
    else:
        print(found["systems"])


if __name__ == "__main__":
    main()
