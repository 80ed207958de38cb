"""Kinds of detectors on one real machine: what each hears of source and target, and what they hear together.

    humtune search toycar --data recordings --machines ToyCar --set weights=encoders/aisfx.yaml
    humtune ensemble toycar
    python benchmarks/real_sound.py toycar [--machine ToyCar] [--write docs/toycar.md]

Three tables. Each configuration: official Ω (%) by score type, mean ± standard deviation over the seeds, with
AUC source / AUC target. The ensemble's ways of choosing by labels, cross-fitted, with their paired difference
to the best single. Ways of joining without labels: scores are brought to mean 0 and deviation 1 by held-out
clips and averaged within a family, so that each kind counts alike; the kinds' mean or least is read, with the
90 % interval that other clips would have given of its lead over the best single configuration.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from pages import fill

from humtune.formatting.text import to_markdown
from humtune.ledger import Ledger
from humtune.metrics.bootstrap import Resampled, resample
from humtune.metrics.calibration import Standard
from humtune.metrics.cells import Array, Cells
from humtune.metrics.omega import evaluate
from humtune.records import TrialRecord
from humtune.results.candidates import complete_trials
from humtune.results.ensembles.record import find_ensemble
from humtune.results.points import Point, measure_points
from humtune.results.reading import Average, labelled_clips
from humtune.sounds.table import Role
from humtune.storage import Storage

SINGLE = "best single"
JOINED = ("knn", "knn_normalised", "fusion")  # score types that most families have


def configurations(points: list[Point]) -> str:
    """A row a point, the highest cross-fitted Ω first."""
    types = list(dict.fromkeys(s for point in points for s in point.score_types))
    found = sorted(points, key=lambda p: p.cross_fitted.mean if p.cross_fitted else 0, reverse=True)
    rows = [
        (str(p.params["family"]), *(cell(p, s) for s in types), str(p.cross_fitted), str(len(p.seeds)))
        for p in found
    ]
    return to_markdown(("detector", *types, "Ω, cross-fitted", "seeds"), rows)


def cell(point: Point, score: str) -> str:
    """Ω over the seeds, and mean AUC of source | target."""
    if score not in point.score_types:
        return "–"
    found = [seed.dev[score] for seed in point.seeds]
    source, target = np.mean([(f.auc_source, f.auc_target) for f in found], axis=0)
    return f"{point.omega(score)} ({100 * source:.0f} / {100 * target:.0f})"


def chosen(ledger: Ledger, machine: str) -> str:
    """Ways of choosing by labels, cross-fitted on the same halves of the clips."""
    ensemble = find_ensemble(ledger, machine)
    if not ensemble or SINGLE not in ensemble.compared:
        return f"No ensemble of {ledger.name} yet."
    single = 100 * np.array(ensemble.compared[SINGLE])
    rows = []
    for way, splits in ensemble.compared.items():
        values = 100 * np.array(splits)
        lead = values - single
        more = "" if way == SINGLE else f"{lead.mean():+.1f} ± {lead.std(ddof=1):.1f}"
        rows.append((way, f"{values.mean():.1f} ± {values.std(ddof=1):.1f}", more))
    return to_markdown(("chosen by half of the labels", "Ω on the other half", f"over {SINGLE}"), rows)


class Joining:
    """A machine's standardised scores, to be joined without labels."""

    def __init__(self, ledger: Ledger, machine: str) -> None:
        clips = ledger.clips(machine)
        cells = labelled_clips(clips).choosing
        assert cells is not None
        self.cells: Cells = cells
        held_out = clips.having(Role.HELD_OUT)
        self.scores: dict[int, dict[str, dict[str, list[Array]]]] = {}  # seed -> family -> score type
        self.single: dict[tuple[str, str], list[Array]] = {}  # configuration and score type -> a seed each
        for trial in complete_trials(ledger.trials_of(machine)):
            for score in trial.judged:
                vector = ledger.scores(trial.folder, score, clips=len(clips))
                z = Standard.of(vector[held_out])(vector)
                families = self.scores.setdefault(trial.config["seed"], {})
                families.setdefault(family(trial), {}).setdefault(score, []).append(z)
                self.single.setdefault((str(trial.params["family"]), score), []).append(z)

    def table(self) -> str:
        """A row a way, below the single configuration and score type with the highest mean Ω."""
        singles = {key: self.read(vectors) for key, vectors in self.single.items()}
        name, best = max(singles.items(), key=lambda item: float(item[1].estimate))
        rows = [(" ".join(name), *self.figures(self.single[name]), "")]
        for score in (None, *JOINED):
            for how, join in (("mean", np.mean), ("least", np.min)):
                vectors = [join(list(self.kinds(seed, score)), axis=0) for seed in sorted(self.scores)]
                lead = self.read(vectors).over(best)
                low, more, high = (100 * float(x) for x in (lead.low, lead.estimate, lead.high))
                interval = f"{more:+.1f} ({low:+.1f} – {high:+.1f})"
                rows.append((f"{how} of {score or 'every score'}", *self.figures(vectors), interval))
        return to_markdown(("joined without labels", "Ω", "AUC source", "AUC target", "pAUC", "lead"), rows)

    def kinds(self, seed: int, score: str | None) -> Iterable[Array]:
        """Each family's mean score of one seed's trials: of one score type, or of all."""
        for types in self.scores[seed].values():
            vectors = [v for name, found in types.items() if score in (None, name) for v in found]
            if vectors:
                yield np.mean(vectors, axis=0)

    def read(self, vectors: list[Array]) -> Resampled:
        """Ω and its resamples, the mean over the seeds."""
        draws = [resample(vector, self.cells) for vector in vectors]
        return Resampled(
            np.mean([d.estimate for d in draws], axis=0),
            np.mean([d.samples for d in draws], axis=0),
            draws[0].values,
            draws[0].draws,
        )

    def figures(self, vectors: list[Array]) -> tuple[str, ...]:
        """Ω over the seeds, and the means of AUC source, AUC target, pAUC."""
        found = [evaluate(vector, self.cells) for vector in vectors]
        parts = np.mean([(f.auc_source, f.auc_target, f.pauc) for f in found], axis=0)
        omega = Average.of(float(f.omega_official) for f in found)
        return str(omega), *(f"{100 * part:.0f}" for part in parts)


def family(trial: TrialRecord) -> str:
    """Of which kind a trial is: the space in the folder that it came from."""
    return str(trial.params["family"]).split(" ")[0]


def main() -> None:
    """Measure a search, and print its tables or fill a page with them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", help="a search that has run, of a folder of spaces")
    parser.add_argument("--machine", default="ToyCar")
    parser.add_argument("--storage", default="humtune-runs")
    parser.add_argument("--write", type=Path, metavar="FILE", help="fill this page instead of printing it")
    words = parser.parse_args()
    ledger = Ledger.open(Storage(words.storage), words.name)
    points = [p for p in measure_points(ledger)[0] if p.machine == words.machine]
    found = {
        "configurations": configurations(points),
        "chosen": chosen(ledger, words.machine),
        "joined": Joining(ledger, words.machine).table(),
    }
    if words.write:
        fill(words.write, found)
    else:
        print("\n\n".join(found.values()))


if __name__ == "__main__":
    main()
