"""Section 4.3: how often the classifier names the right section."""

from humtune.detectors.classifier.recipe import Classifier
from humtune.report.paper.page import Line, Page
from humtune.report.paper.plots import Bar, bars
from humtune.report.paper.printed import (
    ACCURACY_CROSS_ENTROPY,
    ACCURACY_ON_AVERAGE,
    ACCURACY_PER_MACHINE,
    ACCURACY_SETTING,
)
from humtune.report.paper.study import Study, setting
from humtune.results.points import Point, over_machines
from humtune.results.reading import Average

TEST, HELD_OUT = "accuracy_test", "accuracy_held_out"
_COLUMNS = {TEST: "accuracy, dev test clips", HELD_OUT: "accuracy, held-out clips"}
NOTE = (
    "Accuracy: clips whose own section gets the largest mean logit; the mean over the machines. "
    "dev test clips: normal and anomalous ones of sections 0 to 2; held-out clips: normal training clips "
    "that trained nothing. The paper doesn't tell which clips its accuracy is of; the difference is that of "
    "dev test clips."
)
CHOICE = (
    "A best is the highest of the accuracies that it is read from, as in the paper, and so a little too high."
)


def accuracy(study: Study) -> Page:
    """The best on average, the paper's setting, the best per machine, cross-entropy; then every setting."""
    points = {k: p for k, p in sorted(study.across(setting).items()) if p.metric(TEST)}
    full = [key for key, point in points.items() if point.machines == len(study.machines)]
    found: dict[str, tuple[Point, float]] = {}
    if full:
        best = max(full, key=lambda key: _test(points[key]).mean)
        found[f"variational, best on average ({_name(best)})"] = points[best], ACCURACY_ON_AVERAGE
        if best != ACCURACY_SETTING and ACCURACY_SETTING in points:
            name = f"variational, the paper's setting ({_name(ACCURACY_SETTING)})"
            found[name] = points[ACCURACY_SETTING], ACCURACY_ON_AVERAGE
    if len(points) > 1 and (each := _per_machine(study)):
        found["variational, best per machine"] = each, ACCURACY_PER_MACHINE
    if (vanilla := study.across(_cross_entropy).get("cross-entropy")) and vanilla.metric(TEST):
        found["cross-entropy"] = vanilla, ACCURACY_CROSS_ENTROPY
    lines = [_line(name, point, printed, bold=True) for name, (point, printed) in found.items()]
    lines += [_line(f"variational, {_name(key)}", point) for key, point in points.items()]
    plot = (
        bars(
            [Bar.of(name, _test(point)) for name, (point, _) in found.items()],
            series=("measured here, dev test clips",),
            xlabel="mean accuracy of the section (%)",
            title=f"{study.search}: section classification (§4.3)",
        )
        if found
        else None
    )
    return Page(
        name="accuracy",
        title="Section classification (§4.3)",
        lead="Mean accuracy over the machines.",
        lines=lines,
        plot=plot,
        notes=[NOTE, CHOICE],
    )


def _line(name: str, point: Point, printed: float | None = None, *, bold: bool = False) -> Line:
    ours = {column: a for metric, column in _COLUMNS.items() if (a := point.metric(metric))}
    return Line({"classifier": name}, ours, len(point.seeds), point.machines, printed, bold)


def _test(point: Point) -> Average:
    average = point.metric(TEST)
    assert average  # asked only of points that have it
    return average


def _per_machine(study: Study) -> Point | None:
    chosen = []
    for machine in study.machines:
        points = [p for p in study.of(machine, setting).values() if p.metric(TEST)]
        if not points:
            return None
        chosen.append(max(points, key=lambda p: _test(p).mean))
    return over_machines(chosen)


def _cross_entropy(config: Classifier) -> str | None:
    return "cross-entropy" if config.head.kind == "cross_entropy" else None


def _name(key: tuple[float, float, float]) -> str:
    mu, sigma2, beta = key
    return f"mu={mu:g}, sigma2={sigma2:g}, beta_class={beta:g}"
