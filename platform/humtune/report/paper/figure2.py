"""Figure 2: Ω over beta_class."""

from humtune.report.paper.page import OMEGA_NOTE, Page, omega_line
from humtune.report.paper.pictures import curves
from humtune.report.paper.printed import BETA_SETTINGS, SCORES
from humtune.report.paper.study import Study, setting
from humtune.results.average import Average


def figure2(study: Study) -> Page:
    """A curve a score type, with the mu and sigma2 that Table 3 has as its best."""
    points = dict(sorted(study.across(setting).items()))
    tried = list(dict.fromkeys((mu, sigma2) for mu, sigma2, _ in points))
    lines, notes = [], []
    drawn: dict[str, tuple[list[float], list[Average]]] = {}
    for score in SCORES:
        theirs = BETA_SETTINGS[score]
        if theirs not in tried and tried:
            notes.append(f"{score}: the paper's mu={theirs[0]:g}, sigma2={theirs[1]:g} was not tried.")
        for mu, sigma2 in [theirs] if theirs in tried else tried:
            mine = [
                (beta, point, average)
                for (m, s, beta), point in points.items()
                if (m, s) == (mu, sigma2) and (average := point.omega(score, kind="paper"))
            ]
            highest = max(((point.machines, average.mean) for _, point, average in mine), default=None)
            for beta, point, average in mine:
                labels = {"score": score, "mu": f"{mu:g}", "sigma2": f"{sigma2:g}", "beta_class": f"{beta:g}"}
                lines.append(omega_line(labels, point, score, bold=(point.machines, average.mean) == highest))
            if mine:
                name = f"{score} (mu={mu:g}, sigma2={sigma2:g})"
                drawn[name] = ([beta for beta, _, _ in mine], [average for _, _, average in mine])
    picture = (
        curves(
            drawn,
            xlabel="beta_class",
            ylabel="Ω paper, dev clips (%)",
            title=f"{study.search}: Ω over beta_class (Figure 2)",
        )
        if lines
        else None
    )
    return Page(
        name="figure2",
        title="Figure 2: beta_class",
        lead="Ω paper over all machines on the dev clips. The paper draws curves without figures; its text "
        "says that beta_class = 1 works best for both score types.",
        lines=lines,
        picture=picture,
        notes=[OMEGA_NOTE, *notes],
    )
