import csv
import io

import numpy as np
import pytest
from rich.console import Console

from humtune.config import SHARED
from humtune.detectors.classifier.recipe import Classifier
from humtune.metrics.cells import Cells
from humtune.metrics.cross_fitting import cross_fit
from humtune.metrics.omega import evaluate, omega, pool
from humtune.records import OnMachine
from humtune.report.point_table import points_markdown, to_terminal, varying, wants_points, write_points
from humtune.results.points import common_points, measure_points, over_machines
from humtune.results.reading import Average
from humtune.sounds.table import ANOMALY, Role


def seeds(bench, ledger, machine, mu, *, first, count=2, skill=1.0, **more):
    """A point's trials, one a seed."""
    params = {"head.mu": mu, "training.epochs": 3, **more}
    return [
        bench.trial(ledger, machine, n, skill=skill, params=params, config=Classifier(seed=n))
        for n in range(first, first + count)
    ]


@pytest.fixture
def ledger(bench):
    ledger = bench.search()
    for machine in ("fan", "valve"):
        seeds(bench, ledger, machine, 5.0, first=0, skill=0.4)
        seeds(bench, ledger, machine, 10.0, first=2, skill=1.2)
    seeds(bench, ledger, "fan", 20.0, first=4, count=1, skill=0.1)
    return ledger


def test_an_average_needs_a_finite_value_and_two_of_them_for_a_spread():
    assert Average.of([]) is None
    assert Average.of([np.nan]) is None
    assert str(Average.of([0.664])) == "66.4"
    assert str(Average.of([0.65, 0.67])) == "66.0±1.4"  # n - 1


def test_a_machine_without_labelled_clips_has_no_figure_and_a_note(bench, make_clips):
    clips = make_clips("fan")
    clips.label[clips.having(Role.SELECT)] = -1
    ledger = bench.search(clips={"fan": clips})
    record = bench.trial(bench.search("other"), "fan", 0, params={"head.mu": 5.0})
    ledger.write(record)
    ledger.write_scores(record.id, {name: np.zeros(len(clips)) for name in record.omega})
    points, notes = measure_points(ledger)
    assert points[0].score_types == []
    assert points[0].best() is None
    assert "no labelled test clips" in notes[0]
    assert "no labelled test clips" in points_markdown("fans", points, notes)
    Console(file=io.StringIO()).print(to_terminal(points))


def test_trials_of_equal_parameters_are_one_point(ledger):
    points, notes = measure_points(ledger)
    assert notes == []
    assert [(p.machine, p.params["head.mu"], len(p.seeds)) for p in points] == [
        ("fan", 5.0, 2),
        ("fan", 10.0, 2),
        ("fan", 20.0, 1),
        ("valve", 5.0, 2),
        ("valve", 10.0, 2),
    ]


def test_a_points_figures_are_those_of_its_seeds(ledger):
    points, _ = measure_points(ledger)
    clips = ledger.clips("fan")
    vectors = [ledger.scores(f"fan-0000{n}", "nll") for n in (2, 3)]
    dev, other = Cells.of(clips, Role.SELECT), Cells.of(clips, Role.REPORT)
    found = [evaluate(v, dev) for v in vectors]
    official = [f.omega_official for f in found]
    assert points[1].omega("nll").mean == pytest.approx(np.mean(official))
    assert points[1].omega("nll").spread == pytest.approx(np.std(official, ddof=1))
    assert points[1].omega("nll", kind="paper").mean == pytest.approx(np.mean([f.omega_paper for f in found]))
    assert points[1].omega("nll", clips="eval").mean == pytest.approx(
        np.mean([evaluate(v, other).omega_official for v in vectors])
    )
    both = [pool([evaluate(v, dev), evaluate(v, other)]).omega_paper for v in vectors]
    assert points[1].omega("nll", kind="paper", clips="both").mean == pytest.approx(np.mean(both))
    fitted = [
        cross_fit(np.stack([ledger.scores(f"fan-0000{n}", s) for s in ("cosine", "nll")]), dev).mean
        for n in (2, 3)
    ]
    assert points[1].cross_fitted == Average.of(fitted)


def test_points_that_no_label_judges_have_their_pseudo_omega(bench, make_clips):
    clips = make_clips("fan", report=False)
    clips.label[clips.having(Role.SELECT)] = -1
    ledger = bench.search(clips={"fan": clips})
    other = bench.search("labelled", machines=("fan",))
    for number, figure in enumerate((0.6, 0.7)):
        record = bench.trial(other, "fan", number, params={"head.mu": 5.0})
        changes = {"omega": {}, "pseudo": {"cosine": figure}, "judged_by": "pseudo"}
        ledger.write(record.model_copy(update=changes))
        ledger.write_scores(record.id, {"cosine": np.zeros(len(clips))})
    assert wants_points(ledger)
    (point,), _ = measure_points(ledger)
    write_points(ledger)
    assert point.pseudo("cosine") == Average.of([0.6, 0.7])
    assert (point.pseudo("nll"), point.omega("cosine"), point.best()) == (None, None, None)
    text = bench.storage.read("fans/report/points.md").decode()
    assert "## pseudo-Ω, probes (no labels)" in text
    assert "| fan | 2 | **65.0±7.1** |" in text
    assert "## Ω" not in text
    (row,) = csv.DictReader(io.StringIO(bench.storage.read("fans/report/points.csv").decode()))
    assert (row["score"], row["omega_pseudo"], row["omega_select_official"]) == ("cosine", "65.0", "")


def test_eval_clips_without_truth_have_no_figure(bench, make_clips):
    ledger = bench.search(clips={"fan": make_clips("fan", truth=False)})
    seeds(bench, ledger, "fan", 5.0, first=0)
    (point,), notes = measure_points(ledger, cross_fitted=False)
    assert (point.omega("cosine", clips="eval"), point.omega("cosine", clips="both")) == (None, None)
    assert (point.cross_fitted, notes) == (None, [])


def test_machines_are_pooled_seed_by_seed(bench, ledger):
    points, _ = measure_points(ledger)
    fan, valve = points[1], points[4]
    overall = over_machines([fan, valve])
    expected = [
        pool([a.dev["nll"], b.dev["nll"]]).omega_official for a, b in zip(fan.seeds, valve.seeds, strict=True)
    ]
    assert overall.omega("nll").mean == pytest.approx(np.mean(expected))
    assert (overall.machines, len(overall.seeds)) == (2, 2)
    assert len(over_machines([points[2], valve]).seeds) == 1  # no more than the fewest
    assert [p.params["head.mu"] for p in common_points(points)] == [5.0, 10.0]  # the fan's 20 is its own
    assert common_points([fan]) == []


def test_shared_trials_are_points_of_each_machine_apart_from_its_own(bench, ledger):
    """Though their parameters are the same; so are those that start from one, whose seeds are their own."""
    ledger.write_plan(ledger.plan.asking(shared_trials=2))
    alike = {"params": {"head.mu": 10.0, "training.epochs": 3}}
    for n in (0, 1):
        on, name = {}, f"shared-0000{n}"
        for machine in ("fan", "valve"):
            clips = ledger.clips(machine)
            vector = np.random.default_rng(n).normal(size=len(clips)) + (clips.label == ANOMALY)
            ledger.write_scores(f"{name}/machines/{machine}", {"nll": vector})
            on[machine] = OnMachine(omega={"nll": float(omega(vector, Cells.of(clips, Role.SELECT)))})
        changes = {"id": name, "machine": SHARED, "number": n, "machines": on, "omega": {"nll": 0.5}}
        ledger.write(ledger.read("fan-00002").model_copy(update=alike | changes))
    for machine in ("fan", "valve"):
        bench.trial(ledger, machine, 9, skill=1.0, started_from="shared-00001", **alike)
    points, notes = measure_points(ledger)
    points += common_points(points)
    found = [(p.machine, p.network, len(p.seeds)) for p in points if p.params["head.mu"] == 10.0]
    networks = [("own", 2), ("shared-00001", 1), ("shared", 2)]
    assert found == [(machine, *each) for machine in ("fan", "valve", "all") for each in networks]
    assert notes == []
    overall = next(p for p in points if (p.machine, p.network) == ("all", "shared"))
    expected = []
    for n in (0, 1):
        figures = [
            evaluate(
                ledger.scores(f"shared-0000{n}/machines/{machine}", "nll"),
                Cells.of(ledger.clips(machine), Role.SELECT),
            )
            for machine in ("fan", "valve")
        ]
        expected.append(pool(figures).omega_official)
    assert overall.omega("nll").mean == pytest.approx(np.mean(expected))
    assert "| fan | shared | 10 | 2 |" in points_markdown("fans", points, notes)
    assert varying(points) == {"network": "network", "head.mu": "mu"}
    write_points(ledger)
    rows = list(csv.DictReader(io.StringIO(bench.storage.read("fans/report/points.csv").decode())))
    assert {row["network"] for row in rows} == {"own", "shared", "shared-00001"}


def test_points_are_wanted_where_they_are_tried_on_purpose(bench):
    for sampler, wanted in ((None, False), ("tpe", False), ("grid", True), ("listed", True)):
        ledger = bench.search(f"by-{sampler}", space={"sampler": sampler} if sampler else {})
        bench.trial(ledger, "fan", 0)
        bench.trial(ledger, "fan", 1)
        assert wants_points(ledger) is wanted
    bench.trial(ledger, "fan", 2)
    sampled = bench.search("twice")
    seeds(bench, sampled, "fan", 5.0, first=0)
    assert wants_points(sampled)


def test_what_is_written_has_a_line_a_point_and_score_type(bench, ledger):
    points, files = write_points(ledger)
    assert files == ("points.md", "points.csv")
    rows = list(csv.DictReader(io.StringIO(bench.storage.read("fans/report/points.csv").decode())))
    assert [(r["machine"], r["mu"], r["score"], r["seeds"]) for r in rows[:2]] == [
        ("fan", "5.0", "cosine", "2"),
        ("fan", "5.0", "nll", "2"),
    ]
    assert len(rows) == 2 * len(points) == 2 * 7
    assert "epochs" not in rows[0]  # alike in all
    lone = next(r for r in rows if r["mu"] == "20.0")
    assert (lone["omega_select_official_sd"], lone["seeds"]) == ("", "1")
    figure = points[0].omega("cosine")
    assert float(rows[0]["omega_select_official"]) == pytest.approx(100 * figure.mean, abs=1e-3)
    assert float(rows[0]["omega_select_official_sd"]) == pytest.approx(100 * figure.spread, abs=1e-3)

    text = bench.storage.read("fans/report/points.md").decode()
    first = text.split("## ")[1]
    lines = [line for line in first.splitlines() if line.startswith("|")]
    assert lines[0] == "| machine | mu | seeds | cosine | nll | Ω cross-fitted |"
    assert f"| fan | 10 | 2 | **{points[1].omega('cosine')}** |" in first
    assert first.count("**") == 2 * 3  # fan, valve, all
    assert lines[-1].startswith("| all | 10 |")
    assert "Ω official, eval clips" in text


def test_a_screen_shows_the_highest_points(ledger):
    points, _ = measure_points(ledger)
    console = Console(file=io.StringIO(), width=80)
    console.print(to_terminal(points + common_points(points)))
    lines = console.file.getvalue().splitlines()
    assert lines[2].startswith("all: mu=10 ")
    assert len(lines) == 4


def test_names_are_short_where_they_stay_apart(bench):
    ledger = bench.search()
    for n, (a, b) in enumerate(((1, 2), (3, 4))):
        bench.trial(ledger, "fan", n, params={"head.scale": a, "other.scale": b, "head.mu": a, "seed": 1})
    points, _ = measure_points(ledger, cross_fitted=False)
    assert varying(points) == {"head.scale": "head.scale", "other.scale": "other.scale", "head.mu": "mu"}
