"""Table 3: Ω over mu and sigma2."""

import numpy as np

from humtune.formatting.tables import MISSING, to_markdown
from humtune.report.paper.page import CHOICE_NOTE, OMEGA_NOTE, Page, omega_line
from humtune.report.paper.pictures import Heat, heat_maps
from humtune.report.paper.printed import OMEGAS, SCORES
from humtune.report.paper.study import Study, setting


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
    picture = (
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
        picture=picture,
        notes=[OMEGA_NOTE, CHOICE_NOTE],
    )
