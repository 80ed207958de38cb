"""The paper's tables: spectrograms (2), mu and sigma2 (3), the best configuration of each machine (4)."""

import numpy as np

from humtune.detectors.classifier.recipe import Classifier
from humtune.detectors.frontends import Spectrogram
from humtune.formatting.text import MISSING, escaped, to_markdown
from humtune.report.paper.page import CHOICE_NOTE, OMEGA_NOTE, Line, Page, omega_line
from humtune.report.paper.plots import Bar, Heat, bars, heat_maps
from humtune.report.paper.printed import BEST_PER_MACHINE, OMEGAS, SCORES, SPECTROGRAMS
from humtune.report.paper.study import Study, setting
from humtune.results.points import over_machines
from humtune.results.rows import ALL

THEIRS, OURS = "the paper's score types", "our best score types"


def table2(study: Study) -> Page:
    """Every spectrogram of each machine with its better score type; our best in bold, the paper's marked."""
    found = {machine: study.of(machine, _spectrogram) for machine in study.machines}
    spectrograms = sorted({p for points in found.values() for p in points}, key=_order)
    heights = np.full((len(spectrograms), len(study.machines)), np.nan)
    marked = set()
    lines, choices = [], []
    for column, machine in enumerate(study.machines):
        ranked = []
        for spectrogram, point in found[machine].items():
            score = point.best(kind="paper", among=SCORES)
            average = point.omega(score, kind="paper") if score else None
            if score and average:
                ranked.append((average.mean, spectrogram, point, score))
                heights[spectrograms.index(spectrogram), column] = 100 * average.mean
        ranked.sort(key=lambda entry: -entry[0])
        theirs = SPECTROGRAMS.get(machine)
        if theirs in spectrograms:
            marked.add((spectrograms.index(theirs), column))
        for rank, (_, spectrogram, point, score) in enumerate(ranked):
            labels = {"machine": machine, **_labels(spectrogram), "score": score}
            labels["paper's choice"] = "yes" if spectrogram == theirs else ""
            lines.append(omega_line(labels, point, score, bold=rank == 0))
        ours = _name(ranked[0][1]) if ranked else MISSING
        place = next((str(i) for i, entry in enumerate(ranked, 1) if entry[1] == theirs), MISSING)
        choices.append(
            [escaped(machine), ours, _name(theirs) if theirs else MISSING, f"{place} of {len(ranked)}"]
        )
    columns = ["machine", "our best", "the paper's", "its place here"]
    plot = (
        heat_maps(
            [Heat("framed: the paper's choice", heights, frozenset(marked))],
            rows=[_name(p) for p in spectrograms],
            columns=study.machines,
            labels=("n_fft · frames · mels", ""),
            title=f"{study.search}: spectrograms (Table 2)",
        )
        if lines
        else None
    )
    return Page(
        name="table2",
        title="Table 2: spectrograms",
        lead="The paper prints which spectrogram was best for each machine, without figures and without the "
        "others that it tried. Each is read with its better score type of the two.",
        lines=lines,
        grid=to_markdown(columns, choices, left=3),
        plot=plot,
        notes=[OMEGA_NOTE, CHOICE_NOTE],
    )


def _spectrogram(config: Classifier) -> Spectrogram:
    spectrogram: Spectrogram = config.spectrogram
    return spectrogram


def _order(spectrogram: Spectrogram) -> tuple[int, int, int, bool]:
    return spectrogram.n_fft, spectrogram.chunk_frames, spectrogram.n_mels or 0, spectrogram.db


def _labels(spectrogram: Spectrogram) -> dict[str, str]:
    return {
        "n_fft": str(spectrogram.n_fft),
        "frames": str(spectrogram.chunk_frames),
        "mels": str(spectrogram.n_mels or "linear"),
        "dB": "yes" if spectrogram.db else "no",
    }


def _name(spectrogram: Spectrogram) -> str:
    n_fft, frames, mels, _ = _labels(spectrogram).values()
    return f"{n_fft} · {frames} · {mels}{' dB' if spectrogram.db else ''}"


def table3(study: Study) -> Page:
    """The grid as the paper prints it, cosine|nll a cell, and a line a cell beside the paper's figure."""
    points = {key: point for key, point in sorted(study.across(setting).items()) if key[2] == 1}
    mus, sigma2s = (sorted({key[axis] for key in points}) for axis in (0, 1))
    ours = {
        (mu, sigma2, score): average
        for (mu, sigma2, _), point in points.items()
        for score in SCORES
        if (average := point.omega(score, kind="paper"))
    }
    heights = {key: (points[*key[:2], 1].machines, average.mean) for key, average in ours.items()}
    best = {s: max((k for k in ours if k[2] == s), key=lambda k: heights[k], default=None) for s in SCORES}
    lines = []
    for mu, sigma2, score in ours:
        labels = {"mu": f"{mu:g}", "sigma2": f"{sigma2:g}", "score": score}
        key = (mu, sigma2, score)
        lines.append(
            omega_line(labels, points[mu, sigma2, 1], score, printed=OMEGAS.get(key), bold=best[score] == key)
        )
    cells = [
        [
            f"{sigma2:g}",
            *("|".join(str(ours.get((mu, sigma2, s), MISSING)) for s in SCORES) for mu in mus),
        ]
        for sigma2 in sigma2s
    ]
    panels = []
    for who, figures in (
        ("ours", {k: 100 * average.mean for k, average in ours.items()}),
        ("the paper's", OMEGAS),
    ):
        for score in SCORES:
            values = [[figures.get((mu, sigma2, score), np.nan) for mu in mus] for sigma2 in sigma2s]
            panels.append(Heat(f"{score}, {who}", np.array(values).reshape(len(sigma2s), len(mus))))
    title = f"{study.search}: Ω over mu and sigma2 (Table 3)"
    plot = (
        heat_maps(
            panels,
            rows=[f"{s:g}" for s in sigma2s],
            columns=[f"{m:g}" for m in mus],
            labels=("sigma2", "mu"),
            title=title,
        )
        if lines
        else None
    )
    return Page(
        name="table3",
        title="Table 3: mu and sigma2",
        lead="Ω paper over all machines, dev clips, cosine|nll, with beta_class 1; mu across, sigma2 down.",
        lines=lines,
        grid=to_markdown(["sigma2", *(f"{mu:g}" for mu in mus)], cells) if lines else "",
        plot=plot,
        notes=[OMEGA_NOTE, CHOICE_NOTE],
    )


def table4(study: Study) -> Page:
    """Each machine with the paper's configuration of it, a line a score type, and all machines together."""
    lines: list[Line] = []
    drawn: list[Bar] = []
    theirs, ours, notes = [], [], []
    for machine in study.machines:
        printed = BEST_PER_MACHINE.get(machine)
        wanted = printed and (printed.mu, printed.sigma2, printed.beta_class)
        point = study.of(machine, setting).get(wanted)
        if printed is None or point is None:
            notes.append(f"{machine}: " + ("not tried as in Table 4" if printed else "not in Table 4"))
            continue
        best = point.best(kind="paper")
        for score in point.score_types:
            chosen = score == printed.score
            labels = {
                "machine": machine,
                "mu": f"{printed.mu:g}",
                "sigma2": f"{printed.sigma2:g}",
                "beta_class": f"{printed.beta_class:g}",
                "score": score,
                "paper's choice": "yes" if chosen else "",
            }
            lines.append(omega_line(labels, point, score, bold=score == best))
            average = point.omega(score, kind="paper")
            if average and score in SCORES:
                drawn.append(Bar.of(machine, average, series=SCORES.index(score)))
            if chosen:
                theirs.append(point.using(score))
        if best:
            ours.append(point.using(best))
    for chosen_by, points in ((THEIRS, theirs), (OURS, ours)):
        if points:
            labels = {"machine": f"{ALL}: {chosen_by}"}
            overall = over_machines(points)
            lines.append(omega_line(labels, overall, "own"))
            if average := overall.omega("own", kind="paper"):
                drawn.append(Bar.of(ALL, average, series=len(SCORES) + (chosen_by == OURS)))
    plot = (
        bars(
            drawn,
            series=(*SCORES, f"all: {THEIRS}", f"all: {OURS}"),
            xlabel="Ω paper, dev clips (%)",
            title=f"{study.search}: a configuration per machine (Table 4)",
        )
        if lines
        else None
    )
    return Page(
        name="table4",
        title="Table 4: the best configuration of each machine",
        lead="The paper prints each machine's configuration and score type, without figures; the Ω over all "
        "machines is the bar `best per machine` of its Figure 3, without a figure too.",
        lines=lines,
        plot=plot,
        notes=[
            OMEGA_NOTE,
            "Our best score types are chosen on the dev clips, which makes that line too high.",
            *notes,
        ],
    )
