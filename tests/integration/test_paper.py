"""The paper's searches at toy scale: every space from its first point to its last, its table and figure."""

import csv
import io
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from loop import search_here

from humtune.ledger import Ledger
from humtune.records import TrialState
from humtune.report.paper.write import RESULTS, write_paper
from humtune.report.write import write_report
from humtune.search.run import prepare, run
from humtune.search.space import check_space, read_space
from humtune.search.space.overrides import override, read_settings
from humtune.sounds.synthetic import Sizes, synthesise
from humtune.storage import Storage

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(1800),  # the searches are run first
]

Searches = dict[str, Ledger]
EXPERIMENTS = {  # points a machine
    "spectrogram": 10,
    "mu_sigma2": 20,
    "beta_class": 10,
    "per_machine": 1,
    "vanilla": 3,
    "accuracy": 21,
}
LINES = {  # a line a machine or point and score type
    "spectrogram": 2 * 10,
    "mu_sigma2": 20 * 2,
    "beta_class": 2 * 5,
    "per_machine": 2 * 2 + 2,
    "vanilla": 3,
}
PAPER = Path(__file__).parents[2] / "search_spaces" / "paper"
TOY = (
    "spectrogram.chunk_frames=32",
    "spectrogram.n_mels=16",
    "backbone.width=0.125",
    "training.epochs=1",
    "training.chunks_per_clip=1",
)


@pytest.fixture(scope="module")
def searches(tmp_path_factory: pytest.TempPathFactory, mlflow_ready: Callable[[Path], Path]) -> Searches:
    """The finished search of every space of the paper, by its file's stem: two machines, one storage.

    Every point is run, a few of them with two of the space's seeds; without Ray, which test_search.py has.
    """
    folder = tmp_path_factory.mktemp("paper")
    sizes = Sizes(sections=2, train_source=8, train_target=2, test_per_cell=2, seconds=1.0)
    synthesise(folder / "data", machines=("fan", "valve"), sizes=sizes)
    storage = Storage(mlflow_ready(folder / "runs"))
    found: dict[str, Ledger] = {}
    for path in sorted(PAPER.glob("[!_]*.yaml")):
        name, space = read_space(str(path))
        points = space.quota("fan") // space.seeds
        seeds = min(space.seeds, 2 if points < 10 else 1)
        toy = override(space, trials=points * seeds, settings=read_settings(TOY))
        found[name] = prepare(toy, name=name, data=folder / "data", storage=storage)
        with pytest.MonkeyPatch.context() as patch:
            search_here(patch)
            run(found[name])
    return found


def test_every_experiment_of_the_paper_has_a_search(searches: Searches) -> None:
    assert searches.keys() == EXPERIMENTS.keys()
    made = {name: ledger.plan.asked.space["reproduces"] for name, ledger in searches.items()}
    assert sorted(made.values()) == ["accuracy", "figure2", "figure3", "table2", "table3", "table4"]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_point_ran_once_with_each_seed(searches: Searches, name: str) -> None:
    ledger = searches[name]
    space = check_space(ledger.plan.asked.space, where=name)
    for machine in ("fan", "valve"):
        records = list(ledger.records(machine))
        assert {r.state for r in records} == {TrialState.COMPLETE}, [r.reason for r in records]
        had = [(tuple(sorted(r.params.items())), r.seed) for r in records]
        runs = space.runs(machine)[: ledger.plan.asked.trials]
        assert Counter(had) == Counter((tuple(sorted(r.params.items())), r.seed) for r in runs)
        assert len({point for point, _ in had}) == EXPERIMENTS[name]
        assert [r.number for r in records] == list(range(len(runs)))
        for record in records:
            recipe = space.recipe(record.params, machine=machine, seed=record.seed)
            assert record.config == recipe.model_dump(mode="json")
            assert record.omega.keys() == set(recipe.score_types)
            assert record.judged_by == "omega"


def test_each_machine_has_its_own_best_of_table_4(searches: Searches) -> None:
    ledger = searches["per_machine"]
    heads = {r.machine: r.config["head"] for r in ledger.records()}
    assert heads["fan"] == {"kind": "variational", "mu": 10, "sigma2": 0.02, "beta_class": 10}
    assert heads["valve"] == {"kind": "variational", "mu": 10, "sigma2": 0.1, "beta_class": 1}
    spectrograms = {
        r.machine: (r.settings["spectrogram.n_fft"], r.settings["spectrogram.db"]) for r in ledger.records()
    }
    assert spectrograms == {"fan": (512, True), "valve": (512, False)}  # Table 2, but for what was made small


@pytest.mark.parametrize(("result", "name"), [(result, space) for result, (_, space) in RESULTS.items()])
def test_each_space_gives_its_table_with_a_picture(searches: Searches, result: str, name: str) -> None:
    ledger = searches[name]
    written = write_paper(ledger)
    files = {file.rpartition("/")[2]: ledger.storage.read(file) for file in written.files}
    assert files.keys() == {f"{result}.{kind}" for kind in ("md", "csv", "html", "png")}
    assert files[f"{result}.png"].startswith(b"\x89PNG")
    rows = list(csv.DictReader(io.StringIO(files[f"{result}.csv"].decode())))
    assert len(rows) == LINES.get(name, len(rows)) > 0
    seeds = len({r.seed for r in ledger.records() if r.state == TrialState.COMPLETE})
    assert {int(row["seeds"]) for row in rows} == {seeds}
    assert all(row["difference"] == "" for row in rows)  # toys are not compared with the paper
    text = files[f"{result}.md"].decode()
    assert "No difference to the paper is given: the machines are not the paper's seven" in text
    assert "training.epochs is 1, not 50" in text


def test_accuracy_is_of_what_the_trials_measured(searches: Searches) -> None:
    ledger = searches["accuracy"]
    written = write_paper(ledger)
    (vanilla,) = [line for line in written.page.lines if line.labels["classifier"] == "cross-entropy"]
    shares = [
        r.epochs[-1].metrics["accuracy_test"]
        for r in ledger.records()
        if r.settings["head.kind"] == "cross_entropy"
    ]
    assert vanilla.ours["accuracy, dev test clips"].mean == pytest.approx(sum(shares) / len(shares))


def test_the_report_of_a_grid_has_its_points(searches: Searches) -> None:
    ledger = searches["vanilla"]
    report = write_report(ledger)
    assert [(p.machine, p.params["head"]) for p in report.points] == [
        (machine, head)
        for machine in ("fan", "valve", "all")
        for head in ("variational", "cross_entropy", "arcface")
    ]
    assert {"points.md", "points.csv", "table.html", "table.tex"} <= {
        f.rpartition("/")[2] for f in report.files
    }
