"""Search: what the ledger holds as tables and plots, and what commands do, without a run."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from pandas.testing import assert_frame_equal
from sklearn.base import clone

from humtune import HumtuneError, Search, UsageError, searches
from humtune.api.trials import limit_of
from humtune.detectors.classifier.recipe import Classifier
from humtune.detectors.gaussian_mixture import GaussianMixture
from humtune.detectors.recipe import Scoring, recipe_of
from humtune.ledger import Ledger
from humtune.metrics.cells import Cells
from humtune.metrics.omega import omega
from humtune.records import OnMachine, TrialState
from humtune.sounds.table import ANOMALY, NORMAL, SOURCE, TARGET, ClipTable, Role


@pytest.fixture
def found(bench):
    """Two machines: of the fan two families, a pruned and a failed trial; the valve's is complete."""
    ledger = bench.search("fans", trials=5)
    bench.trial(ledger, "fan", 0, skill=1.0)
    bench.trial(ledger, "fan", 1, skill=2.0)
    bench.trial(ledger, "fan", 2, skill=1.5, config=GaussianMixture(), gains={"own": 1})
    bench.trial(ledger, "fan", 3, state=TrialState.PRUNED, reason="behind")
    bench.trial(ledger, "fan", 4, state=TrialState.FAILED, reason="no memory", epochs=0)
    bench.trial(ledger, "valve", 0, skill=1.0)
    return Search.open("fans", storage=bench.storage.uri)


def test_a_row_a_trial_with_what_the_record_says(found):
    trials = found.trials()
    assert trials.index.tolist() == [f"fan-{i:05d}" for i in range(5)] + ["valve-00000"]
    assert trials["state"].tolist() == ["complete"] * 3 + ["pruned", "failed", "complete"]
    assert trials["family"].tolist() == ["classifier"] * 2 + ["gaussian_mixture"] + ["classifier"] * 3
    assert trials["head.mu"].tolist() == [5.0, 6.0, 7.0, 8.0, 9.0, 5.0]
    for record in found.ledger.records():
        row = trials.loc[record.id]
        if record.judged:
            assert (row["objective"], row["score"]) == (record.objective, record.best_score)
            assert row["omega"] == record.omega[record.best_score]
        else:
            assert np.isnan(row["objective"])
    assert trials.loc["fan-00004", "reason"] == "no memory"
    assert trials["started"].iloc[0].timestamp() == 1.7e9
    assert found.trials("valve").index.tolist() == ["valve-00000"]
    with pytest.raises(UsageError, match="no machine 'fam'; it has fan, valve"):
        found.trials("fam")


def test_a_search_without_a_trial_has_empty_tables(bench):
    bench.search("new")
    search = Search.open("new", storage=bench.storage.uri)
    assert len(search.trials()) == len(search.leaderboard()) == 0
    assert "objective" in search.trials()
    assert "0 of 4" in search._repr_html_()
    with pytest.raises(HumtuneError, match="no trial has run its whole budget yet"):
        search.plot.scores("fan")


def test_the_leaderboard_is_that_of_show(found, humtune):
    board = found.leaderboard()
    best = board.set_index(["machine", "kind"])
    assert best.loc[("fan", "classifier"), "trial"] == "fan-00001"
    assert best.loc[("fan", "gaussian_mixture"), "trial"] == "fan-00002"
    assert best.loc[("fan", "classifier"), "trials"] == 2
    trial = found.trials().loc["fan-00001"]
    assert best.loc[("fan", "classifier"), "objective"] == trial["objective"]
    assert best.loc[("fan", "classifier"), "omega_select_official"] == pytest.approx(trial["omega"])
    assert found.leaderboard("valve")["trial"].tolist() == ["valve-00000"]


def test_scores_stand_beside_what_is_known_of_their_clips(found):
    scores = found.scores("fan-00001")
    assert {"cosine", "nll", "clip", "section", "domain", "label", "role"} <= set(scores)
    clips = found.ledger.clips("fan")
    assert scores["clip"].tolist() == clips.name.tolist()
    assert ((scores["label"] == "anomaly") == (clips.label == ANOMALY)).all()
    ours = omega(scores["cosine"].to_numpy(), Cells.of(clips, Role.SELECT))
    assert float(ours) == found.trials().loc["fan-00001", "omega"]
    assert list(found.scores("fan-00001", "nll").columns[-1:]) == ["nll"]
    for trial, score_type, why in (
        ("fan-00001", "nil", "no scores of type 'nil'; it has cosine, nll"),
        ("fan-00003", None, "fan-00003 is pruned, and has no scores"),
        ("fan-00009", None, "no trial 'fan-00009'"),
        ("fan-ensemble", None, "no ensemble"),
    ):
        with pytest.raises(UsageError, match=why):
            found.scores(trial, score_type)


def test_of_a_shared_trial_the_scores_are_a_machines(bench):
    ledger = bench.search("fans")
    scores = np.arange(len(ledger.clips("fan")), dtype=np.float64)
    machines = {m: OnMachine(omega={"cosine": 0.7}) for m in ("fan", "valve")}
    record = bench.trial(ledger, "fan", 0)
    ledger.write(record.model_copy(update={"id": "shared-00000", "machine": "shared", "machines": machines}))
    for machine in machines:
        ledger.write_scores(f"shared-00000/machines/{machine}", {"cosine": scores})
    search = Search(ledger)
    assert search.scores("shared-00000", "cosine", machine="fan")["cosine"].tolist() == scores.tolist()
    with pytest.raises(UsageError, match="of all machines: say of which one, machine='fan'"):
        search.scores("shared-00000")
    assert search.leaderboard("valve")["trial"].tolist() == ["shared-00000"]


def test_an_ensemble_is_made_kept_and_scored(found):
    made = found.ensemble(members=2)
    assert made == found.ensembles()
    assert set(made) == {"fan", "valve"}
    scores = found.scores("fan-ensemble")["ensemble"].to_numpy()
    clips = found.ledger.clips("fan")
    assert float(omega(scores, Cells.of(clips, Role.SELECT))) == made["fan"].metrics["omega_select"]


def test_a_detector_of_a_trial_needs_no_section_of_a_sound(bench, monkeypatch):
    """It takes the best score type of those that a new sound can have, and refuses the others."""
    monkeypatch.setattr(
        "humtune.export.blueprint.load_detector",
        lambda ledger, record, bank: SimpleNamespace(recipe=recipe_of(record.config)),
    )
    monkeypatch.setattr(Ledger, "bank", lambda self, machine: None)
    ledger = bench.search("fans")
    pooled = Classifier(scores=("cosine",), scoring=Scoring(pool="section"))
    bench.trial(ledger, "fan", 0, config=pooled, gains={"cosine": 1})
    plain = Classifier(scores=("neg_logit", "cosine"), seed=5)
    bench.trial(ledger, "fan", 1, skill=3.0, config=plain, gains={"neg_logit": 1, "cosine": 0.1})
    search = Search(ledger)
    with pytest.raises(UsageError, match=r"cosine needs a clip's section, .*take another trial"):
        search.detector("fan-00000")
    with pytest.raises(UsageError, match=r"neg_logit needs a clip's section, .*take cosine"):
        search.detector("fan-00001", "neg_logit")
    detector = search.detector("fan-00001")
    assert detector.score_type_ == "cosine"
    assert clone(detector)._recipe() == detector.recipe_ == plain
    assert detector.get_params()["settings"]["scores"] == ["neg_logit", "cosine"]


def test_a_limit_keeps_its_rate_in_each_domain():
    """Few clips of one domain, which score higher, set it as well as the many of the other."""
    n = 45
    clips = ClipTable.from_columns(
        machine="fan",
        name=[f"{i}" for i in range(n)],
        part="dev",
        split="train",
        section=0,
        domain=[SOURCE] * 36 + [TARGET] * 9,
        label=NORMAL,
        attributes="",
        role=str(Role.HELD_OUT),
    )
    scores = np.arange(n, dtype=np.float64)
    scores[36:] += 100
    limit = limit_of(scores, clips)
    assert (limit.value, limit.clips, limit.note) == (144.0, 9, None)
    assert limit_of(scores, clips, false_alarms=0.05).note.startswith("target: 9 healthy clips can promise")


def test_a_report_is_the_commands(found, humtune):
    report = found.report()
    frame = report.to_frame()
    assert frame["machine"].tolist()[:3] == ["fan", "valve", "all"]
    assert "<table" in report._repr_html_()
    code, out, _ = humtune("report", "fans", "--json", "--storage", found.ledger.storage.uri)
    rows = json.loads(out)["rows"]
    assert code == 0
    assert [row["trial"] for row in rows if row["trial"]] == frame["trial"].dropna().tolist()
    percent = [row["omega_select_official"] for row in rows]
    assert np.round(100 * frame["omega_select_official"], 4).tolist() == percent
    assert [f"{found.ledger.storage.uri}/{file}" for file in report.files] == json.loads(out)["files"]


def test_plots_are_figures_that_a_notebook_shows(found):
    for plot in (
        found.plot.history("fan"),
        found.plot.scores("fan"),
        found.plot.roc("valve", trial="valve-00000", score_type="nll"),
    ):
        assert plot._repr_png_().startswith(b"\x89PNG")
    assert found.plot.roc("valve", score_type="nll").get_suptitle() == "valve-00000, nll, selecting clips"
    with pytest.raises(UsageError, match="name one of fan, valve"):
        found.plot.history()
    with pytest.raises(UsageError, match="no scores of type 'own'; there are cosine, nll"):
        found.plot.scores("valve", score_type="own")
    with pytest.raises(UsageError, match="valve-00000 is a trial of valve, not of fan"):
        found.plot.roc("fan", trial="valve-00000")


def test_a_search_is_found_by_its_name(found, monkeypatch):
    place = found.ledger.storage.uri
    monkeypatch.setenv("HUMTUNE_STORAGE", place)
    assert_frame_equal(Search.open("fans").trials(), found.trials())
    assert repr(found) == f"Search('fans', storage='{place}')"
    assert found.machines == ("fan", "valve")
    html = found._repr_html_()
    assert "5 of 5" in html
    assert "fan-00001" in html
    table = searches(place)
    assert table.loc["fans", "complete"] == 4
    with pytest.raises(UsageError, match="no search named 'fan' in"):
        Search.open("fan")


def test_a_search_is_asked_to_stop(found):
    found.stop()
    assert Ledger.open(found.ledger.storage, "fans").is_asked_to_stop


def test_a_misspelt_space_is_refused_before_anything_is_read(tmp_path):
    space = {"fixed": {"family": "gaussian_mixture", "componets": 2}, "search": {"n_mels": [64, 128]}}
    with pytest.raises(UsageError, match=r"componets.*did you mean components"):
        Search.start(space, tmp_path / "gone", storage=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
