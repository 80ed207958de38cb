"""The systems of a search beside what was published: only of the same recordings, machines and size."""

import csv
import io
import json
from operator import attrgetter

import numpy as np
import pytest
from typer.testing import CliRunner

from humtune.cli.main import app
from humtune.detectors.recipe import recipe_of
from humtune.errors import UsageError
from humtune.metrics.cells import Cells
from humtune.metrics.omega import evaluate, pool
from humtune.report.published import CHALLENGES, MACHINES, RESULTS
from humtune.report.systems import other_recordings, to_dict, write_systems
from humtune.search.space import carried_systems
from humtune.sounds.table import UNKNOWN, Role


@pytest.fixture(scope="module")
def systems():
    return carried_systems()


def put(bench, ledger, system, recipe, *, machines=MACHINES, seeds=2, skill=1.0):
    """A point of a system on machines: trials of its recipe, a seed each."""
    for machine in machines:
        first = len(list(ledger.records(machine)))
        for seed in range(seeds):
            bench.trial(
                ledger,
                machine,
                first + seed,
                skill=skill,
                params={"family": f"{system} {first}"},
                config=recipe.model_copy(update={"seed": seed}),
            )


@pytest.fixture
def challenge(bench, make_clips):
    """A search of recordings like DCASE 2022's."""

    def challenge(name="systems", machines=MACHINES, **sizes):
        sizes = {"per_cell": 50, "sections": (0, 1, 2)} | sizes
        return bench.search(name, clips={m: make_clips(m, **sizes) for m in machines})

    return challenge


def line_of(written, system, measure="Ω"):
    [line] = [x for x in written.lines if (x.system, x.result.measure) == (system, measure)]
    return line


def test_a_published_figure_stands_beside_the_same_system_on_the_same_recordings(bench, challenge, systems):
    ledger = challenge()
    put(bench, ledger, "xiao_gwrp", systems["xiao_gwrp"][0], skill=0.3)
    put(bench, ledger, "xiao_gwrp", systems["xiao_gwrp"][-1], skill=1.0)
    written = write_systems(ledger, systems)
    assert written.notes == ()
    line = line_of(written, "xiao_gwrp")
    assert line.published == {"dev": 71.37, "eval": 66.53}
    for part, role in (("dev", Role.SELECT), ("eval", Role.REPORT)):
        by_seed = []
        for seed in (2, 3):  # the better point's, by cosine: the other score type is worth half
            figures = [
                evaluate(ledger.scores(f"{m}-0000{seed}", "cosine"), Cells.of(ledger.clips(m), role))
                for m in MACHINES
            ]
            by_seed.append(float(pool(figures).omega_official))
        assert line.ours[part].mean == pytest.approx(np.mean(by_seed))
    text = bench.storage.read("systems/report/published.md").decode()
    assert f"| xiao_gwrp | Ω | {line.ours['dev']} | 71.37 | {line.ours['eval']} | 66.53 |" in text
    [row] = csv.DictReader(io.StringIO(bench.storage.read("systems/report/published.csv").decode()))
    assert (row["system"], row["dev_published"], row["eval_published"]) == ("xiao_gwrp", "71.37", "66.53")


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ({"machines": MACHINES[:-1]}, "the search is without valve"),
        ({"machines": (*MACHINES, "pump")}, "pump is not of DCASE 2022"),
        ({"per_cell": 49}, f"the dev clips of {', '.join(MACHINES)} are not DCASE 2022's"),
        ({"sections": (0, 1)}, f"the dev clips of {', '.join(MACHINES)} are not DCASE 2022's"),
    ],
)
def test_other_recordings_leave_the_published_figure_out(bench, challenge, systems, sizes, said):
    ledger = challenge(**sizes)
    put(bench, ledger, "kuroyanagi", systems["kuroyanagi_exposure"][0], machines=ledger.plan.machines)
    written = write_systems(ledger, systems)
    line = line_of(written, "kuroyanagi_exposure")
    assert line.ours["dev"]
    assert line.published == {"dev": None, "eval": None}
    why = f"kuroyanagi_exposure: the published Ω on dev (2022) is left out: {said}"
    assert written.notes == (why,)
    assert "81.15" not in bench.storage.read("systems/report/published.md").decode()


def test_a_small_system_or_one_that_a_machine_lacks_stands_alone(bench, challenge, systems):
    ledger = challenge()
    put(bench, ledger, "tiny", systems["tiny/xiao_attributes"][0])
    put(bench, ledger, "whole", systems["dcase_autoencoder"][0], machines=MACHINES[:-1])
    written = write_systems(ledger, systems)
    assert line_of(written, "tiny/xiao_attributes").published["dev"] is None
    assert line_of(written, "dcase_autoencoder").published["dev"] is None
    said = "\n".join(written.notes)
    assert (
        "xiao_attributes: the published Ω on dev (2022) is left out: its trials are of systems/tiny/xiao_"
        in said
    )
    assert (
        "dcase_autoencoder: the published Ω on dev (2022) is left out: no trial of valve is complete" in said
    )
    assert (
        "dcase_autoencoder: the published AUC on eval (2020) is left out: no trial of valve is complete; "
        in said
    )


def test_eval_without_truth_is_of_no_challenge(bench, challenge, systems):
    ledger = challenge(truth=False)
    put(bench, ledger, "zeng", systems["zeng"][0])
    written = write_systems(ledger, systems)
    line = line_of(written, "zeng")
    assert (line.ours["eval"], line.published["eval"]) == (None, None)
    assert "the eval clips of ToyCar, " in written.notes[0]


def test_other_settings_are_no_published_system(bench, challenge, systems):
    ledger = challenge(machines=MACHINES[:1])
    recipe = systems["xiao_gwrp"][0]
    put(bench, ledger, "xiao_gwrp", recipe.model_copy(update={"n_mels": 64}), machines=MACHINES[:1])
    with pytest.raises(UsageError, match="'systems' has no complete trial of a published system as humtune"):
        write_systems(ledger, systems)


def test_a_tuned_trial_is_its_systems_with_the_network_of_any_shared_one(systems):
    tuned = [recipe for recipe in systems["zeng"] if recipe.starts_shared]
    assert {recipe.spectrogram.highpass for recipe in tuned} == {0, 500}
    assert all(recipe_of(recipe.model_dump()) == recipe for recipe in tuned)
    assert {recipe.budget for recipe in systems["zeng"] if not recipe.starts_shared} == {50}


def test_the_mean_auc_of_2020_is_that_of_sections_without_domains(bench, make_clips, systems):
    clips = {}
    for machine, parts in CHALLENGES[2020].sections.items():
        table = make_clips(machine, per_cell=4, sections=(0, 1), domains=False)
        section = np.where(table.role == Role.REPORT, parts["eval"][0], parts["dev"][0])
        for role, part in ((Role.SELECT, "dev"), (Role.REPORT, "eval")):
            at = np.flatnonzero(table.role == role)
            section[at] = np.repeat(parts[part], len(at) // len(parts[part]) + 1)[: len(at)]
        table.section[:] = section
        clips[machine] = table
    assert {int(d) for table in clips.values() for d in table.domain} == {UNKNOWN}
    ledger = bench.search("old", clips=clips)
    for machine in clips:
        put(bench, ledger, "stgram", systems["stgram"][0], machines=[machine], seeds=1)
    written = write_systems(ledger, systems)
    assert written.notes == ()
    aucs = [
        float(v)
        for machine in clips
        for s in evaluate(
            ledger.scores(f"{machine}-00000", "cosine"), Cells.of(clips[machine], Role.SELECT)
        ).sections
        for v in s.auc.values()
    ]
    line = line_of(written, "stgram", "AUC")
    assert line.ours["dev"].mean == pytest.approx(np.mean(aucs))
    assert line.published["dev"] == 92.4
    assert line_of(written, "stgram", "pAUC").published["dev"] == 86.3
    assert other_recordings(clips.values(), 2022, part="dev", role=Role.SELECT)


def test_each_published_figure_stands_beside_its_own_recipe(bench, challenge, systems):
    """Of two recipes of one system, whichever is better."""
    ledger = challenge()
    one, three = systems["subcluster_adacos"][:2]
    put(bench, ledger, "one", one, skill=1.0, seeds=1)
    assert [line.published for line in write_systems(ledger, systems).lines] == [
        {"dev": 71.62, "eval": 67.74}
    ]
    put(bench, ledger, "three", three, skill=0.3, seeds=1)
    lines = write_systems(ledger, systems).lines
    assert [line.published for line in lines] == [
        {"dev": 71.62, "eval": 67.74},
        {"dev": 71.74, "eval": 68.99},
    ]
    assert lines[0].ours["dev"].mean > lines[1].ours["dev"].mean


def test_every_published_figure_is_of_a_recipe_that_is_carried(systems):
    assert RESULTS.keys() <= systems.keys()
    for name, results in RESULTS.items():
        for setting, value in (result.of for result in results if result.of):
            assert value in [attrgetter(setting)(recipe) for recipe in systems[name]]


def test_the_command_prints_what_it_writes(bench, challenge, systems):
    ledger = challenge()
    put(bench, ledger, "idnn", systems["idnn"][0], seeds=1)
    put(bench, ledger, "xvector", systems["xvector"][0], seeds=1)
    words = ["report", "systems", "--published", "--storage", ledger.storage.uri]
    told = CliRunner().invoke(app, [*words, "--json"])
    assert told.exit_code == 0, told.output
    lines = json.loads(told.stdout)["lines"]
    assert lines == [to_dict(line) for line in write_systems(ledger, systems).lines]
    assert [line["system"] for line in lines] == ["idnn", "xvector"]
    assert lines[1]["published"] == "nothing of it alone"
    shown = CliRunner().invoke(app, words)
    assert "published.md" in shown.output
    assert "idnn" in shown.output
