import json
from dataclasses import replace

import numpy as np
import pytest

from humtune.dcase.files import write_file
from humtune.errors import HumtuneError, UsageError
from humtune.metrics.cells import Cells
from humtune.metrics.omega import omega
from humtune.results.archive import read_archive
from humtune.results.ensembles.candidates import gather
from humtune.results.ensembles.greedy import MEMBERS, ensemble
from humtune.results.ensembles.make import check_words, join_systems, make_ensembles
from humtune.results.ensembles.record import ensemble_scores, read_ensemble
from humtune.sounds.table import UNKNOWN, Role


@pytest.fixture
def ledger(bench, make_clips):
    ledger = bench.search(clips={m: make_clips(m, hidden=2) for m in ("fan", "valve")})
    for number in range(4):
        bench.trial(ledger, "fan", number, skill=0.5 + number / 4)
    return ledger


@pytest.fixture
def judged_by_pseudo(bench, make_clips):
    ledger = bench.search("blind", clips={"fan": make_clips("fan")})
    fan = ledger.plan.machines["fan"]
    ledger.write_plan(
        ledger.plan.model_copy(update={"machines": {"fan": fan.model_copy(update={"judged_by": "pseudo"})}})
    )
    for number, told in enumerate((0.5, 0.8, 0.7, 0.6)):
        pseudo = {"cosine": told, "nll": told + 0.01}
        bench.trial(ledger, "fan", number, skill=number, judged_by="pseudo", pseudo=pseudo)
    return ledger


@pytest.fixture
def system(tmp_path, ledger):
    def write(name, *, roles=(Role.SELECT, Role.HIDDEN), seed=0):
        clips = ledger.clips("fan")
        clips = clips.take(clips.having(*roles))
        rng = np.random.default_rng(seed)
        values = rng.normal(size=len(clips)) + 2 * clips.label
        for section in np.unique(clips.section).tolist():
            here = clips.section == section
            place = {"machine": "fan", "section": section}
            names, scores = clips.name[here].tolist(), values[here].tolist()
            write_file(tmp_path / name, "anomaly_score", **place, names=names, values=scores)
        return tmp_path / name

    return write


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((None, "standard", []), "of what\\? name a search"),
        (("fans", "isotonic", []), "--calibration isotonic: expected standard or gamma or compressed"),
    ],
)
def test_words_that_say_nothing_are_refused(words, told):
    with pytest.raises(UsageError, match=told):
        check_words(*words)


def test_words_that_contradict_are_refused(tmp_path):
    with pytest.raises(UsageError, match="so it can't be exported"):
        check_words("fans", "standard", [tmp_path], exportable=True)
    with pytest.raises(UsageError, match="only a search has models"):
        check_words(None, "standard", [tmp_path], exportable=True)
    with pytest.raises(UsageError, match="--truth is for imports alone"):
        check_words("fans", "standard", [], truth=tmp_path)


def test_a_misspelt_machine_lists_those_there_are(ledger):
    with pytest.raises(UsageError, match="fans: no machine 'fann'; there are fan, valve"):
        make_ensembles(ledger, machines=["fann"])


def test_no_complete_trial_anywhere_is_an_error(ledger):
    with pytest.raises(HumtuneError, match="valve: no complete trial yet"):
        make_ensembles(ledger, machines=["valve"])


def test_imports_are_joined_without_labels_too(judged_by_pseudo, ledger, system):
    [record] = make_ensembles(judged_by_pseudo, imports=[system("theirs")]).records
    assert record.transductive
    assert not record.settings.by_labels
    assert {m.system for m in record.members} == {"", "theirs"}


@pytest.mark.slow
def test_it_chooses_by_the_selecting_clips_alone(ledger):
    made = make_ensembles(ledger, calibration="standard")
    assert made.skipped == ("valve: no complete trial yet",)
    (record,) = made.records
    assert record == read_ensemble(ledger, "fan")
    clips = ledger.clips("fan")
    cells = Cells.of(clips, Role.SELECT)
    keys = [(f"fan-0000{i}", s) for i in range(4) for s in ("cosine", "nll")]
    own = np.stack([ledger.scores(*key) for key in keys])
    held_out = own[:, clips.role == Role.HELD_OUT]
    own = (own - held_out.mean(axis=1, keepdims=True)) / held_out.std(axis=1, keepdims=True)
    by_hand = ensemble(own, cells, members=MEMBERS)
    np.testing.assert_allclose(ensemble_scores(ledger, record), by_hand(own, clips.section))
    assert {m.name for m in record.members} == {" ".join(keys[k]) for k in by_hand.members}
    assert record.metrics["omega_select"] == pytest.approx(float(omega(by_hand(own, clips.section), cells)))
    hidden = Cells.of(clips, Role.HIDDEN)
    assert record.metrics["omega_hidden"] == pytest.approx(float(omega(by_hand(own, clips.section), hidden)))
    assert set(record.metrics) == {"omega_select", "omega_hidden", "omega_report"}
    assert sum(record.weights) == pytest.approx(1)


@pytest.mark.slow
def test_hidden_and_eval_labels_change_nothing(ledger, bench):
    before = make_ensembles(ledger).records[0]
    clips = ledger.clips("fan")
    label = np.where(np.isin(clips.role, ["hidden", "report"]), UNKNOWN, clips.label).astype(np.int8)
    ledger.storage.write("fans/clips/fan.json", replace(clips, label=label).to_json())
    after = make_ensembles(ledger).records[0]
    assert (after.members, after.weights, after.sections) == (before.members, before.weights, before.sections)
    assert set(after.metrics) == {"omega_select"}


def test_members_bound_what_a_clip_is_scored_with(ledger):
    record = make_ensembles(ledger, members=2).records[0]
    for weights in (record.weights, *record.sections.values()):
        assert 1 <= np.count_nonzero(weights) <= 2


def test_only_what_can_be_exported_becomes_a_member(ledger, monkeypatch):
    rule = "humtune.results.candidates.exportable_types"
    monkeypatch.setattr(rule, lambda config, score_types: [s for s in score_types if s == "nll"])
    record = make_ensembles(ledger, exportable=True).records[0]
    assert {m.score_type for m in record.members} == {"nll"}
    assert record.settings.exportable
    [record] = make_ensembles(ledger, exportable=None).records
    assert {m.score_type for m in record.members} == {"nll"}
    monkeypatch.setattr(rule, lambda config, score_types: [])
    [record] = make_ensembles(ledger, exportable=None).records
    assert record.members
    assert not record.settings.exportable


def test_without_labels_all_trials_score_together(judged_by_pseudo):
    record = make_ensembles(judged_by_pseudo).records[0]
    clips, found = judged_by_pseudo.clips("fan"), read_archive(judged_by_pseudo, "fan")
    assert record.sections == {}
    assert record.settings.judged_by == "pseudo"
    assert record.settings.calibration == "compressed"
    np.testing.assert_allclose(
        ensemble_scores(judged_by_pseudo, record), gather(clips, found, calibration="compressed").unlabelled
    )
    assert record.compared["ensemble"] == pytest.approx((record.metrics["omega_select"],))


def test_without_labels_members_bound_the_trials_to_the_heaviest(judged_by_pseudo):
    every = make_ensembles(judged_by_pseudo).records[0]
    share = {t: sum(w for m, w in every.machine_wide.items() if m.trial == t) for t in every.trials}
    few = make_ensembles(judged_by_pseudo, members=2).records[0]
    assert set(few.trials) == set(sorted(share, key=share.get)[-2:])
    assert sum(few.weights) == pytest.approx(1)


def test_without_labels_only_so_many_score_together_where_nobody_says(judged_by_pseudo, monkeypatch):
    monkeypatch.setattr("humtune.results.ensembles.make.MOST", 2)
    assert make_ensembles(judged_by_pseudo).records[0].networks == 2
    assert make_ensembles(judged_by_pseudo, members=3).records[0].networks == 3


@pytest.mark.slow
def test_imported_systems_are_members_and_make_it_transductive(ledger, system):
    record = make_ensembles(ledger, machines=["fan"], imports=[system("theirs")]).records[0]
    assert record.transductive
    assert record.settings.calibration == "ranks"
    assert "theirs" in {m.name for m in record.members}  # by far the best
    scores, clips = ensemble_scores(ledger, record), ledger.clips("fan")
    assert np.isfinite(scores[clips.having(Role.SELECT, Role.HIDDEN)]).all()
    assert np.isnan(scores[clips.having(Role.HELD_OUT)]).all()
    assert "omega_report" not in record.metrics


def test_systems_alone_make_an_ensemble_of_the_first_one_s_clips(tmp_path):
    rng = np.random.default_rng(0)
    names = [
        f"section_00_{d}_test_{label}_{i:04d}_a_1.wav"
        for d in ("source", "target")
        for label in ("normal", "anomaly")
        for i in range(8)
    ]
    odd = np.array(["anomaly" in name for name in names])
    for team, gain in (("one", 1), ("two", 1.5)):
        values = (rng.normal(size=len(names)) + gain * odd).tolist()
        write_file(tmp_path / team, "anomaly_score", machine="fan", section=0, names=names, values=values)
    record, clips, scores = join_systems([tmp_path], members=2)["fan"]
    assert record.transductive
    assert clips.name.tolist() == names
    assert record.metrics["omega_select"] == pytest.approx(float(omega(scores, Cells.of(clips, Role.SELECT))))
    assert record.settings.imports == (str(tmp_path / "one"), str(tmp_path / "two"))


@pytest.mark.slow
def test_real_systems_know_more_together_than_the_best_of_them(real_data):
    systems = real_data / "dcase2022_scores" / "dev"
    if not systems.is_dir():
        pytest.skip(f"no scores of other systems in {systems}")
    record, *_ = join_systems([systems], machines=["bearing"], members=2)["bearing"]
    more = np.array(record.compared["ensemble"]) - np.array(record.compared["best single"])
    assert record.settings.candidates == 24
    assert more.mean() > 0.02  # two points of Ω, on clips that did not choose
    assert (more > 0).mean() > 0.9


def test_every_trial_scores_without_labels_though_there_are_some(ledger):
    [record] = make_ensembles(ledger, every=True).records
    assert record.settings.every
    assert not record.settings.by_labels
    clips = ledger.clips("fan")
    hidden = replace(clips, label=np.full(len(clips), UNKNOWN, np.int8))
    ledger.storage.write("fans/clips/fan.json", hidden.to_json())
    [again] = make_ensembles(ledger, every=True).records
    assert (again.members, again.weights) == (record.members, record.weights)


def test_an_earlier_ensemble_without_labels_is_still_read(judged_by_pseudo):
    [record] = make_ensembles(judged_by_pseudo).records
    old = json.loads(record.model_dump_json())
    old["settings"] |= {"every": False, "calibration": "gamma"}  # the best by pseudo-Ω, alike
    judged_by_pseudo.storage.write("blind/ensembles/fan.json", json.dumps(old).encode())
    assert not read_ensemble(judged_by_pseudo, "fan").settings.by_labels
