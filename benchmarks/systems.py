"""Published systems side by side: what each reaches, and what it costs to fit and to score with.

    humtune search systems/tiny --data recordings --name tiny
    humtune ensemble tiny
    python benchmarks/systems.py tiny [--storage humtune-runs] [--write page.md]

For each machine and system: official Ω (%) on the labelled clips that chose, by the system's own score (the
first of its list), with the 90 % interval that other clips would have given, and cross-fitted over all of its
scores, both means over the seeds; seconds to fit; milliseconds of one thread for a clip, from samples to
scores. Below it the ensemble over all systems beside the best single candidate, cross-fitted on the same
halves of the clips.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, median
from time import perf_counter

import numpy as np
import torch

from humtune.detectors.recipe import recipe_of
from humtune.drafts import write_whole
from humtune.export.blueprint import load_detector
from humtune.formatting.text import to_markdown
from humtune.ledger import Ledger
from humtune.metrics.bootstrap import Resampled, resample
from humtune.records import TrialRecord
from humtune.results.candidates import complete_trials
from humtune.results.ensembles.record import find_ensemble
from humtune.results.points import group_by, measure_points
from humtune.results.reading import labelled_clips
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
    draws = [
        resample(ledger.scores(t.folder, own, clips=len(clips)), cells) for t in trials
    ]  # of the same clips
    together = Resampled(
        np.mean([d.estimate for d in draws], axis=0),
        np.mean([d.samples for d in draws], axis=0),
        draws[0].values,
        draws[0].draws,
    )
    interval = together.interval()
    low, value, high = (100 * float(x) for x in (interval.low, together.estimate, interval.high))
    return f"{value:.1f} ({low:.1f} – {high:.1f}) {own}"


def milliseconds(ledger: Ledger, trial: TrialRecord) -> float:
    """What one thread takes for a clip; the median."""
    bank = ledger.bank(trial.machine)
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


def sections(ledger: Ledger) -> Iterator[str]:
    """The page's lines, machine by machine."""
    fitted = {(p.machine, (p.network, str(p.params))): p.cross_fitted for p in measure_points(ledger)[0]}
    for machine in ledger.plan.machines:
        trials = complete_trials(ledger.trials_of(machine))
        systems = group_by(trials, lambda t: (t.network, str(t.params)))
        cells = []
        for system, seeds in tracked(systems.items(), total=len(systems), title=machine):
            average = fitted.get((machine, system))
            name = str(seeds[0].params.get("family", recipe_of(seeds[0].config).family))
            speed = milliseconds(ledger, seeds[0])
            fit = mean(t.seconds for t in seeds)
            crossed = str(average or "–")
            cells.append((name, omega(ledger, seeds), crossed, str(len(seeds)), f"{fit:.0f}", f"{speed:.0f}"))
        yield f"### {machine}\n"
        yield to_markdown(
            ("system", "Ω, own score", "Ω, cross-fitted", "seeds", "fit (s)", "clip (ms)"), cells
        )
        ensemble = find_ensemble(ledger, machine)
        if ensemble and {"best single", "ensemble"} <= ensemble.compared.keys():
            single, joined = (np.array(ensemble.compared[n]) * 100 for n in ("best single", "ensemble"))
            better = joined - single
            yield (
                f"\nThe ensemble of {len(ensemble.members)} members in {ensemble.networks} networks: "
                f"{joined.mean():.1f} against {single.mean():.1f} of the best single candidate, cross-fitted "
                f"({better.mean():+.1f} ± {better.std(ddof=1):.1f} over {len(better)} splits).\n"
            )


def main() -> None:
    """Measure a search of systems, and print or write its page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", help="a search that has run")
    parser.add_argument("--storage", default="humtune-runs")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the page instead of printing it")
    words = parser.parse_args()
    torch.set_num_threads(1)
    page = "\n".join(sections(Ledger.open(Storage(words.storage), words.name))) + "\n"
    if words.write:
        write_whole(words.write, page.encode())
    else:
        print(page)


if __name__ == "__main__":
    main()
