"""The paper's figures: Ω over beta_class (2), and the variational classifier beside other systems (3)."""

from humtune.detectors.classifier.recipe import Classifier
from humtune.report.paper.page import CHOICE_NOTE, OMEGA_NOTE, Line, Page, omega_line
from humtune.report.paper.plots import Bar, bars, curves
from humtune.report.paper.printed import BEST_ON_AVERAGE, BETA_SETTINGS, SCORES
from humtune.report.paper.study import Study, classifier, setting
from humtune.report.published import FIGURE_3, SYSTEMS
from humtune.results.points import Point, over_machines
from humtune.results.reading import Average

VANILLA = {"cross_entropy": "cross-entropy", "arcface": "ArcFace"}


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
    plot = (
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
        plot=plot,
        notes=[OMEGA_NOTE, *notes],
    )


def figure3(study: Study) -> Page:
    """Bars of official Ω, ours solid, published ones hatched grey; the table has the paper's Ω too."""
    found = {name: (point, "cosine") for name, point in _vanilla(study).items()}
    notes = []
    average = _on_average(study)
    if average:
        point, score = average
        found["variational, best on average"] = (point, score)
        mu, sigma2, beta = setting(classifier(point)) or (0, 0, 0)
        notes.append(
            f"Best on average: mu={mu:g}, sigma2={sigma2:g}, beta_class={beta:g}, {score}; "
            "the paper's 66.4 is Table 3's best, mu=10, sigma2=0.1, beta_class=1, cosine."
        )
    each = _per_machine(study)
    if each:
        found["variational, best per machine"] = (each, "own")
    elif average:
        notes.append("Best per machine needs several variational settings a machine: see Table 4.")
    lines: list[Line] = []
    drawn: list[Bar] = []
    for name, (point, score) in found.items():
        printed = BEST_ON_AVERAGE if name.endswith("on average") else None
        shown = "each machine's" if score == "own" else score
        lines.append(omega_line({"system": name, "score": shown}, point, score, printed=printed))
        for series, clips in enumerate(("dev", "eval")):
            if omega := point.omega(score, clips=clips):  # type: ignore[arg-type]
                drawn.append(Bar.of(name, omega, series=series))
    for system in SYSTEMS:
        if system.name in FIGURE_3:
            for series, value in enumerate((system.dev, system.eval)):
                if value is not None:
                    label = f"{system.name} ({system.year})"
                    drawn.append(Bar(label, value, series=series, published=True))
    plot = (
        bars(
            drawn,
            series=("measured here, dev", "measured here, eval"),
            published=("published, dev", "published, eval"),
            xlabel=f"Ω official (%); measured: {', '.join(study.machines)}",
            title=f"{study.search}: variational, vanilla, published (Figure 3)",
        )
        if lines
        else None
    )
    return Page(
        name="figure3",
        title="Figure 3: variational and vanilla classifiers",
        lead="The paper draws bars without figures. Published systems are in the plot alone: they were "
        "not measured here, and stand for all seven machines of DCASE 2022.",
        lines=lines,
        plot=plot,
        notes=[OMEGA_NOTE, CHOICE_NOTE, *notes],
    )


def _vanilla(study: Study) -> dict[str, Point]:
    def kind(config: Classifier) -> str | None:
        return VANILLA.get(config.head.kind)

    points = study.across(kind)
    return {name: points[name] for name in VANILLA.values() if name in points and points[name].score_types}


def _on_average(study: Study) -> tuple[Point, str] | None:
    """The variational setting and score type with the highest Ω over all machines."""
    ranked = [
        (average.mean, point, score)
        for point in study.across(setting).values()
        if point.machines == len(study.machines)
        for score in SCORES
        if (average := point.omega(score, kind="paper"))
    ]
    best = max(ranked, key=lambda entry: entry[0], default=None)
    return best and best[1:]


def _per_machine(study: Study) -> Point | None:
    """Each machine's best variational setting and score type; None where there is nothing to choose."""
    chosen = []
    for machine in study.machines:
        points = list(study.of(machine, setting).values())
        ranked = [
            (average.mean, point.using(score))
            for point in points
            for score in SCORES
            if (average := point.omega(score, kind="paper"))
        ]
        if len(points) < 2 or not ranked:
            return None
        chosen.append(max(ranked, key=lambda entry: entry[0])[1])
    return over_machines(chosen) if chosen else None
