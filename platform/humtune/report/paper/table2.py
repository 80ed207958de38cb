"""Table 2: the best spectrogram of each machine."""

import numpy as np

from humtune.detectors.classifier.recipe import Classifier
from humtune.detectors.frontends import Spectrogram
from humtune.formatting.tables import MISSING, escaped, to_markdown
from humtune.report.paper.page import CHOICE_NOTE, OMEGA_NOTE, Page, omega_line
from humtune.report.paper.pictures import Heat, heat_maps
from humtune.report.paper.printed import SCORES, SPECTROGRAMS
from humtune.report.paper.study import Study


def table2(study: Study) -> Page:
    """Every spectrogram of each machine with its better score type; our best in bold, the paper's marked."""
    found = {machine: study.of(machine, _picture) for machine in study.machines}
    pictures = sorted({p for points in found.values() for p in points}, key=_order)
    heights = np.full((len(pictures), len(study.machines)), np.nan)
    marked = set()
    lines, choices = [], []
    for column, machine in enumerate(study.machines):
        ranked = []
        for picture, point in found[machine].items():
            score = point.best(kind="paper", among=SCORES)
            average = point.omega(score, kind="paper") if score else None
            if score and average:
                ranked.append((average.mean, picture, point, score))
                heights[pictures.index(picture), column] = 100 * average.mean
        ranked.sort(key=lambda entry: -entry[0])
        theirs = SPECTROGRAMS.get(machine)
        if theirs in pictures:
            marked.add((pictures.index(theirs), column))
        for rank, (_, picture, point, score) in enumerate(ranked):
            labels = {"machine": machine, **_labels(picture), "score": score}
            labels["paper's choice"] = "yes" if picture == theirs else ""
            lines.append(omega_line(labels, point, score, bold=rank == 0))
        ours = _name(ranked[0][1]) if ranked else MISSING
        place = next((str(i) for i, entry in enumerate(ranked, 1) if entry[1] == theirs), MISSING)
        choices.append(
            [escaped(machine), ours, _name(theirs) if theirs else MISSING, f"{place} of {len(ranked)}"]
        )
    columns = ["machine", "our best", "the paper's", "its place here"]
    picture = (
        heat_maps(
            [Heat("framed: the paper's choice", heights, frozenset(marked))],
            rows=[_name(p) for p in pictures],
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
        picture=picture,
        notes=[OMEGA_NOTE, CHOICE_NOTE],
    )


def _picture(config: Classifier) -> Spectrogram:
    spectrogram: Spectrogram = config.spectrogram
    return spectrogram


def _order(picture: Spectrogram) -> tuple[int, int, int, bool]:
    return picture.n_fft, picture.chunk_frames, picture.n_mels or 0, picture.db


def _labels(picture: Spectrogram) -> dict[str, str]:
    return {
        "n_fft": str(picture.n_fft),
        "frames": str(picture.chunk_frames),
        "mels": str(picture.n_mels or "linear"),
        "dB": "yes" if picture.db else "no",
    }


def _name(picture: Spectrogram) -> str:
    n_fft, frames, mels, _ = _labels(picture).values()
    return f"{n_fft} · {frames} · {mels}{' dB' if picture.db else ''}"
