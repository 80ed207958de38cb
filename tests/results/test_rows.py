import numpy as np
import pytest
from scipy.stats import hmean

from humtune.detectors.classifier.recipe import Classifier
from humtune.records import TrialState
from humtune.results.measure import measure
from humtune.results.rows import Choice, Row, machine_row, overall_row, searched_settings


def filled(bench, **options):
    ledger = bench.search(**options)
    for machine in ledger.plan.machines:
        for number, skill in enumerate((0.3, 1.5)):
            bench.trial(ledger, machine, number, skill=skill)
    return ledger


def test_a_row_holds_the_best_configuration_and_its_figures(bench):
    ledger = filled(bench)
    bench.trial(ledger, "fan", 2, state=TrialState.PRUNED)
    bench.trial(ledger, "fan", 3, state=TrialState.FAILED)
    bench.trial(ledger, "fan", 4, state=TrialState.RUNNING)
    measured = measure(ledger, "fan")
    row = machine_row(measured)
    assert (row.choice.trial, row.choice.score) == ("fan-00001", "cosine")
    assert row.choice.settings == measured.best.trial.settings
    assert [
        row.choice.settings[f"spectrogram.{name}"] for name in ("n_fft", "chunk_frames", "n_mels", "db")
    ] == [
        512,
        128,
        None,
        False,
    ]
    assert [row.choice.settings[f"head.{name}"] for name in ("mu", "sigma2", "beta_class")] == [6, 0.5, 10]
    assert row.choice.varied == ("head.mu",)
    assert (row.work.complete, row.work.pruned, row.work.failed, row.work.seconds) == (2, 1, 1, 250)
    assert row.select.official.value == pytest.approx(measured.best.value)
    assert row.cross_fitted.value == measured.cross_fitted.mean
    assert row.cross_fitted.spread == measured.cross_fitted.spread
    sections = measured.select.sections
    assert row.select.auc_target == pytest.approx(hmean([s.auc[1] for s in sections]))
    assert row.select.pauc == pytest.approx(hmean([s.pauc for s in sections]))


def test_percent_is_what_users_see(bench):
    row = machine_row(measure(filled(bench), "fan"))
    shown = row.to_percent({"sigma2": "head.sigma2", "n_mels": "spectrogram.n_mels", "margin": "head.margin"})
    assert shown["omega_select_official"] == pytest.approx(100 * row.select.official.value, abs=1e-4)
    assert shown["false_alarms"] == pytest.approx(100 * row.false_alarms, abs=1e-4)
    assert (shown["sigma2"], shown["n_mels"], shown["margin"], shown["seconds"]) == (0.5, None, None, 100)
    assert not {"settings", "varied"} & shown.keys()


def test_the_columns_that_other_programs_read_keep_their_names():
    assert " ".join(Row("fan").to_percent({"mu": "head.mu"})) == (
        "machine choice trial mu score judged_by pseudo omega_cross_fitted omega_cross_fitted_spread "
        "omega_hidden_official omega_hidden_low omega_hidden_high omega_hidden_paper omega_select_official "
        "omega_select_low omega_select_high omega_select_paper omega_confirmed omega_confirmed_spread seeds "
        "candidates within_noise omega_eval_official omega_eval_paper auc_source auc_target pauc "
        "false_alarms complete pruned failed seconds note"
    )


def test_the_last_row_averages_all_values_of_all_machines(bench):
    ledger = filled(bench)
    machines = [measure(ledger, m) for m in ("fan", "valve")]
    row = overall_row(machines)
    values = [v for m in machines for s in m.select.sections for v in s.values("official")]
    assert row.select.official.value == pytest.approx(hmean(values))
    splits = np.stack([m.cross_fitted.splits for m in machines])
    assert row.cross_fitted.value == pytest.approx(hmean(splits, axis=0).mean())
    assert row.cross_fitted.spread == pytest.approx(hmean(splits, axis=0).std())
    assert (row.work.complete, row.work.seconds, row.note) == (4, 200, "")


def test_a_machine_without_figures_is_left_out_by_name(bench, make_clips):
    ledger = bench.search(clips={"fan": make_clips("fan"), "valve": make_clips("valve")})
    bench.trial(ledger, "fan", 0)
    bench.trial(ledger, "valve", 0, state=TrialState.FAILED)
    machines = [measure(ledger, m) for m in ("fan", "valve")]
    row = machine_row(machines[1])
    assert (row.choice.trial, row.select.official.value, row.work.failed) == (None, None, 1)
    assert row.note == "valve: no trial completed: 1 failed"
    whole = overall_row(machines)
    assert whole.select.official.value == pytest.approx(machine_row(machines[0]).select.official.value)
    assert "Ω over all is without valve" in whole.note


def test_without_any_figure_the_last_row_is_empty(bench):
    ledger = bench.search()
    row = overall_row([measure(ledger, m) for m in ("fan", "valve")])
    assert row.cross_fitted.value is row.select.official.value is row.report.official.value is None


def test_without_domains_there_is_no_target(bench, make_clips):
    ledger = bench.search(clips={"fan": make_clips("fan", domains=False)})
    bench.trial(ledger, "fan", 0, skill=1)
    row = machine_row(measure(ledger, "fan"))
    assert row.select.auc_target is None
    assert row.select.official.value == row.select.paper.value
    assert row.select.auc_source > 0.5


def with_heads(ledger, machine, heads):
    """Give a machine's trials these heads, in turn."""
    for record, head in zip(list(ledger.records(machine)), heads, strict=True):
        config = Classifier.model_validate(record.config | {"head": head}).model_dump(mode="json")
        ledger.write(record.model_copy(update={"config": config, "params": {"head": str(record.number)}}))


def test_settings_that_differ_among_the_trials_are_those_that_were_searched(bench):
    ledger = filled(bench)
    with_heads(ledger, "fan", [{"kind": "arcface", "margin": 0.3}, {"kind": "arcface", "margin": 0.5}])
    row = machine_row(measure(ledger, "fan"))
    assert (row.choice.settings["head.kind"], row.choice.settings["head.margin"]) == ("arcface", 0.5)
    assert "head.mu" not in row.choice.settings
    assert row.choice.varied == ("head.margin",)
    assert machine_row(measure(ledger, "valve")).choice.varied == ("head.mu",)


def test_seed_and_score_types_are_no_searched_settings(bench):
    ledger = bench.search()
    for number in range(2):
        config = Classifier(seed=number, scores=("cosine", "nll", "knn")[: 2 + number])
        bench.trial(ledger, "fan", number, config=config, params={"labels": "section"})
    assert machine_row(measure(ledger, "fan")).choice.varied == ("labels",)


def test_columns_of_settings_are_named_by_their_last_part_where_that_is_enough():
    rows = [
        Row("fan", choice=Choice(varied=("head.mu", "head.kind", "scoring.pool"))),
        Row("valve", choice=Choice(varied=("backbone.kind", "head.mu", "trial.seconds"))),
    ]
    assert searched_settings(rows) == {
        "mu": "head.mu",
        "head.kind": "head.kind",
        "pool": "scoring.pool",
        "backbone.kind": "backbone.kind",
        "recipe.seconds": "trial.seconds",  # `seconds` is a figure
    }
    assert searched_settings([Row("fan")]) == {}
