import re

import pytest

from humtune.detectors.recipe import recipe_of
from humtune.errors import UsageError
from humtune.report.paper.printed import MACHINES, OMEGAS
from humtune.report.paper.study import read_study, setting
from humtune.report.paper.write import RESULTS, write_paper


def test_a_search_that_stands_for_nothing_is_told_the_spaces(bench):
    ledger = bench.search()
    with pytest.raises(UsageError, match=r"'fans' stands for none .* paper/mu_sigma2 \(table3\)") as told:
        write_paper(ledger)
    assert all(name in str(told.value) for name in RESULTS)


def test_two_points_of_one_setting_are_refused(paper, variational):
    ledger = paper.search("table3", ("fan",))
    paper.point(ledger, "fan", variational())
    record = ledger.read("fan-00000")
    other = record.config | {"labels": "both"}
    ledger.write(record.model_copy(update={"config": other, "params": {"labels": "both"}}))
    with pytest.raises(UsageError, match=r"fan has 2 points .* differ in labels"):
        write_paper(ledger)


def test_a_full_search_departs_in_nothing(paper, variational):
    ledger = paper.search("table3", MACHINES, per_cell=50)
    for machine in MACHINES:
        paper.point(ledger, machine, variational(), seeds=1)
    study = read_study(ledger)
    assert study.departures == ()
    (point,) = study.across(setting).values()
    assert (point.machines, point.score_types) == (7, ["cosine", "nll"])


@pytest.mark.parametrize(
    ("machines", "told"),
    [
        (MACHINES[:-1], r"not the paper's seven \(without valve\)"),
        ((*MACHINES, "pump"), r"not the paper's seven \(with pump\)"),
    ],
)
def test_other_machines_are_named(paper, machines, told):
    study = read_study(paper.search("table3", machines, per_cell=1))
    assert any(re.search(told, reason) for reason in study.departures)


@pytest.mark.parametrize(("per_cell", "sections"), [(49, (0, 1, 2)), (50, (0, 1)), (50, (0, 1, 2, 3))])
def test_other_clips_are_named(paper, per_cell, sections):
    ledger = paper.search("table3", ("fan",), per_cell=per_cell, sections=sections)
    (_, clips) = read_study(ledger).departures
    assert clips.startswith("the selecting clips of fan are not DCASE 2022's development set")


def test_other_settings_are_named(paper, variational):
    ledger = paper.search("table3", ("fan", "valve"))
    paper.point(ledger, "fan", variational(), epochs=2)
    paper.point(ledger, "valve", variational(mu=5), spectrogram=None)
    paper.point(
        ledger, "valve", variational(), spectrogram=recipe_of(ledger.read("fan-00000").config).spectrogram
    )
    settings = read_study(ledger).departures[2:]
    assert settings == ("training.epochs is 2, not 50", "the spectrogram of valve is not that of Table 2")
    assert "Table 2" not in " ".join(read_study(ledger, spectrogram_searched=True).departures)


def test_what_the_paper_prints_is_read_right():
    assert OMEGAS[10, 0.1, "cosine"] == max(OMEGAS.values()) == 66.4
    assert OMEGAS[10, 0.02, "nll"] == max(v for (_, _, s), v in OMEGAS.items() if s == "nll") == 66.0
    assert OMEGAS[30, 0.2, "nll"] == 63.0
    assert OMEGAS[30, 0.02, "cosine"] == 63.7
    assert len(OMEGAS) == 32
