"""Table 4: the best configuration of each machine."""

from humtune.report.paper.page import OMEGA_NOTE, Line, Page, omega_line
from humtune.report.paper.pictures import Bar, bars
from humtune.report.paper.printed import BEST_PER_MACHINE, SCORES
from humtune.report.paper.study import Study, setting
from humtune.results.points import over_machines
from humtune.results.rows import ALL

THEIRS, OURS = "the paper's score types", "our best score types"


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
    picture = (
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
        picture=picture,
        notes=[
            OMEGA_NOTE,
            "Our best score types are chosen on the dev clips, which makes that line too high.",
            *notes,
        ],
    )
