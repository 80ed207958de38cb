from pathlib import Path

import numpy as np
import pytest
from chromium import readable
from models import make_info, write_model
from words import terms_in

from humtune import __version__
from humtune.config import SAMPLE_RATE
from humtune.detectors.detector import Detector
from humtune.errors import HumtuneError, UsageError
from humtune.export.evidence import domain_scores
from humtune.export.healthy import COUNT
from humtune.export.search import export_machine, export_search
from humtune.ledger import Ledger
from humtune.results.candidates import choose
from humtune.results.measure import measure
from humtune.runtime.healthy import HEALTHY, read_healthy
from humtune.runtime.info import CARD, INFO, INT8, MODEL, PAGE, REQUIREMENTS, read_info
from humtune.runtime.scorer import Scorer
from humtune.sounds.sound_file import to_waveform
from humtune.sounds.table import Role
from humtune.storage import Storage

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def exported(finished, tmp_path_factory):
    """The finished search and its exports, for tests that only look."""
    ledger = Ledger.open(Storage(finished), "small")
    out = tmp_path_factory.mktemp("out") / "models"
    return ledger, export_search(ledger, out, product="single", false_alarms=0.25)


def test_its_card_fits_a_telephone_and_a_desk(exported, browser):
    readable(browser, exported[1].models[0].folder / PAGE)


def test_its_card_begins_in_plain_words(exported):
    card = (exported[1].models[0].folder / CARD).read_text()
    first, rest = card.split("\n## What it is\n")
    assert terms_in(first) == set()
    assert "It would have caught " in first
    assert "These helped to choose it: expect less of new ones." in first
    assert terms_in(rest)


def test_an_unknown_machine_names_the_known(ledger, tmp_path):
    with pytest.raises(UsageError, match="search 'small' has no machine 'pump'; it has fan, valve"):
        export_search(ledger, tmp_path / "models", machines=["fan", "pump"])
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("rate", [0, 1, -0.1, float("nan")])
def test_a_rate_that_is_none_is_refused(ledger, tmp_path, rate):
    with pytest.raises(UsageError, match="--false-alarms lies between 0 and 1, got"):
        export_search(ledger, tmp_path, false_alarms=rate)


def test_a_folder_of_recordings_is_refused_before_any_work(ledger, tmp_path):
    recording = tmp_path / "fan" / "train" / "a.wav"
    recording.parent.mkdir(parents=True)
    recording.write_bytes(b"sound")
    with pytest.raises(UsageError, match="holds train"):
        export_search(ledger, tmp_path)
    assert recording.read_bytes() == b"sound"


def test_the_model_of_another_search_is_not_replaced(ledger, tmp_path):
    write_model(tmp_path / "fan", make_info(machine="fan", search="other"))
    before = (tmp_path / "fan" / INFO).read_bytes()
    with pytest.raises(UsageError, match="fan: the model of the search 'other' lies there; choose another"):
        export_search(ledger, tmp_path)
    assert (tmp_path / "fan" / INFO).read_bytes() == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"', r"fan/model\.json: can't be read \(.+\): it may be another search's; choose another --out"),
        (
            None,
            "fan: made with humtune 9.0, too new for this one: it may be another search's; choose another",
        ),
    ],
)
def test_a_model_of_which_nobody_knows_the_search_is_not_replaced(ledger, tmp_path, content, message):
    info = make_info(machine="fan", search="other").model_copy(update={"format": 99})
    write_model(tmp_path / "fan", info.model_copy(update={"versions": {"humtune": "9.0"}}))
    if content is not None:
        (tmp_path / "fan" / INFO).write_bytes(content)
    before = {path: path.read_bytes() for path in (tmp_path / "fan").iterdir()}
    with pytest.raises(UsageError, match=message):
        export_search(ledger, tmp_path)
    assert {path: path.read_bytes() for path in (tmp_path / "fan").iterdir()} == before


def test_without_any_complete_trial_there_is_nothing_to_export(ledger, tmp_path):
    with pytest.raises(HumtuneError, match="'small': no machine has a trial that ran its whole budget yet"):
        export_search(ledger, tmp_path / "models", machines=["valve"])
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("detector", None, r"detector.pt is missing: the trial's weights are gone"),
        ("detector", b"torn", r"this detector .* is damaged"),
        ("reference", b"torn", r"this reference .* is damaged"),
    ],
)
def test_a_trial_with_files_missing_or_torn_is_not_exported(ledger, tmp_path, name, content, message):
    file = getattr(ledger.layout, name)(choose(ledger.records("fan")).trial.id)
    if content is None:
        ledger.storage.delete(file)
    else:
        ledger.storage.write(file, content)
    with pytest.raises(HumtuneError, match=message):
        export_search(ledger, tmp_path / "models", machines=["fan"], product="single")
    assert not list((tmp_path / "models").glob("*"))


@pytest.mark.parametrize("score_type", ["cosine", "nll"])
def test_in_the_place_of_a_trial_whose_scores_are_lost_the_next_best_leaves(ledger, tmp_path, score_type):
    best = choose(ledger.records("fan")).trial
    ledger.storage.delete(ledger.layout.score(best.id, score_type))
    (model,) = export_search(ledger, tmp_path, machines=["fan"], product="single").models
    assert model.info.trial != best.id
    assert model.left_out.startswith(f"{best.id} is left out: ")
    assert model.left_out.endswith(f"{score_type}.npy is missing, though the trial is complete")


def test_a_trial_that_needs_the_section_is_not_exported(ledger, tmp_path):
    for trial in list(ledger.records("fan")):
        config = trial.config | {"scoring": {"pool": "section"}}
        ledger.write(trial.model_copy(update={"config": config}))
    with pytest.raises(HumtuneError, match="against its own section, which an exported model can't know"):
        export_search(ledger, tmp_path / "models", product="single")
    assert not (tmp_path / "models" / "fan").exists()


def test_in_the_place_of_a_trial_that_needs_the_section_the_next_best_leaves(ledger, tmp_path):
    best = choose(ledger.records("fan")).trial
    ledger.write(best.model_copy(update={"omega": best.omega | {"neg_logit": best.objective + 0.05}}))
    ledger.write_scores(best.id, {"neg_logit": ledger.scores(best.id, best.best_score)})
    (model,) = export_search(ledger, tmp_path, product="single").models
    info, card = read_info(model.folder), (model.folder / CARD).read_text()
    assert (info.trial, info.score_type) == (best.id, best.best_score)
    assert model.left_out.startswith(f"{best.id} with neg_logit is left out, though its Ω is 5.0 points")
    assert f"\n{model.left_out}.\n" in card


def test_a_trial_won_by_fusion_leaves_as_one_graph(ledger, tmp_path, train):
    done, bank = train(ledger, 2, scores=("cosine", "fusion", "nll", "mahalanobis")), ledger.bank("fan")
    assert done.omega.keys() == {"cosine", "fusion", "nll", "mahalanobis"}
    ledger.write(done.model_copy(update={"omega": done.omega | {"fusion": 0.999}}))
    (model,) = export_search(ledger, tmp_path, product="single").models
    scorer, recorded = Scorer.open(model.folder), ledger.scores(done.id, "fusion")
    assert (scorer.info.trial, scorer.info.score_type) == (done.id, "fusion")
    assert model.parity < 1e-3
    scored = bank.table.having(Role.HELD_OUT, Role.SELECT, Role.REPORT)
    found = np.array([scorer.score(to_waveform(bank.clip(int(i)))) for i in scored])
    np.testing.assert_allclose(found, recorded, rtol=0, atol=1e-3 * recorded.std())
    held_out = ledger.clips("fan").having(Role.HELD_OUT)
    parts = [ledger.scores(done.id, name) for name in ("cosine", "nll", "mahalanobis")]
    z = [(part - part[held_out].mean()) / part[held_out].std() for part in parts]
    np.testing.assert_allclose(recorded, np.min(z, axis=0), rtol=1e-4, atol=1e-4)


def test_weights_of_another_trial_are_not_exported(ledger, tmp_path):
    ids = [record.id for record in ledger.records("fan")]
    best = choose(ledger.records("fan")).trial.id
    (other,) = set(ids) - {best}
    ledger.storage.write(ledger.layout.detector(best), ledger.storage.read(ledger.layout.detector(other)))
    with pytest.raises(HumtuneError, match=f"fan, {best}: its weights give .* don't belong together"):
        export_search(ledger, tmp_path / "models", product="single")


def test_the_model_scores_recordings_as_the_search_did(exported):
    ledger, exports = exported
    (model,) = exports.models
    assert exports.skipped == ("valve: no trial has run its whole budget yet",)
    assert exports.failed == ()
    best, clips, bank = choose(ledger.records("fan")).trial, ledger.clips("fan"), ledger.bank("fan")
    recorded = ledger.scores(best.id, best.best_score)
    scorer = Scorer.open(model.folder)
    scored = bank.table.having(Role.HELD_OUT, Role.SELECT, Role.REPORT)
    found = np.array([scorer.score(to_waveform(bank.clip(int(i)))) for i in scored])
    np.testing.assert_allclose(found, recorded, rtol=0, atol=1e-4 * recorded.std())
    assert model.parity < 1e-4
    assert model.cost.size == (model.folder / MODEL).stat().st_size
    evidence = model.info.evidence
    assert evidence.held_out == tuple(recorded[clips.having(Role.HELD_OUT)])
    assert (evidence.clip_samples, evidence.tested) == (SAMPLE_RATE, domain_scores(clips, recorded))
    healthy = bank.table.take(bank.table.having(Role.TRAIN, Role.HELD_OUT))
    assert sum(len(group.scores) for group in evidence.left_out) == len(healthy)
    assert {group.domain for group in evidence.left_out} == {"source", "target"}
    threshold = evidence.threshold(0.25)
    assert scorer.info.threshold == threshold
    assert model.alarms == evidence.alarms(threshold.value)
    assert {(a.part, a.domain) for a in model.alarms} == {
        (part, domain) for part in ("dev", "eval") for domain in ("source", "target")
    }


def test_the_settings_say_where_the_model_is_from(exported):
    ledger, exports = exported
    info, best = read_info(exports.models[0].folder), choose(ledger.records("fan")).trial
    assert (info.machine, info.search, info.trial) == ("fan", "small", best.id)
    assert info.score_type == best.best_score
    assert info.configuration == best.config
    assert (info.sample_rate, info.least_samples) == (16_000, 31 * 128)
    assert (info.versions["humtune"], info.versions["opset"]) == (__version__, "20")
    assert {"torch", "onnx", "onnxruntime"} < info.versions.keys()
    assert info.metrics["omega_select_official"] == pytest.approx(best.objective)
    assert info.metrics["omega_cross_fitted"] == measure(ledger, "fan").cross_fitted.mean


def test_a_few_healthy_clips_leave_with_the_model(exported):
    ledger, exports = exported
    found, bank = read_healthy(exports.models[0].folder, SAMPLE_RATE), ledger.bank("fan")
    assert len(found) == COUNT
    normal = [bank.clip(int(i)).tobytes() for i in bank.table.having(Role.TRAIN, Role.HELD_OUT)]
    assert len({one.samples.tobytes() for one in found} & set(normal)) == COUNT
    assert (
        "`healthy/` holds up to 8 of the healthy recordings" in (exports.models[0].folder / CARD).read_text()
    )


def test_a_model_reads_the_channel_that_it_was_trained_on(exported, ledger, tmp_path):
    folder = exported[1].models[0].folder
    assert read_info(folder).channel is None
    assert "(mono, 16000 Hz" in (folder / CARD).read_text()
    ledger.write_plan(ledger.plan.asking(channel=2))
    folder = export_search(ledger, tmp_path / "models", machines=["fan"], product="single").models[0].folder
    assert read_info(folder).channel == 2
    assert "(channel 2 alone, 16000 Hz" in (folder / CARD).read_text()


def test_a_card_calls_its_folder_as_it_is_called(ledger, tmp_path):
    folder = tmp_path / "models" / "hall 2"
    export_machine(ledger, "fan", folder, int8=True)
    own, small = ((place / CARD).read_text() for place in (folder, folder / INT8))
    assert all("\nIn the folder that holds `hall 2`:\n" in card for card in (own, small))
    assert "\nhumtune score 'hall 2' recordings/ --out scores\n" in own
    assert "\nhumtune score 'hall 2/int8' recordings/ --out scores\n" in small
    assert 'InferenceSession("hall 2/int8/model.onnx")' in small


def test_the_card_tells_what_a_user_has_to_know(exported):
    ledger, exports = exported
    folder = exports.models[0].folder
    card = (folder / CARD).read_text()
    info, best = read_info(folder), choose(ledger.records("fan")).trial
    assert f"| Ω on the labelled dev clips | {100 * best.objective:.1f} (" in card
    metrics = info.metrics
    for where in ("dev source", "dev target", "eval source", "eval target"):
        key = where.replace(" ", "_")
        alarms, caught = (100 * metrics[f"{name}_{key}"] for name in ("false_alarms", "caught"))
        normals = 8 if "dev" in where else 4  # clips a cell × sections
        assert f"| {where} | {normals} | {alarms:.1f} | {normals} | {caught:.1f} |" in card
    true, false = (metrics[f"{name}_dev_source"] for name in ("caught", "false_alarms"))
    precision = f"{100 * true / (true + false):.1f}" if true + false else "–"
    assert f" {100 * true:.1f} | {precision} |" in card
    assert "humtune's docs/glossary.md" in card
    assert "It is worst in section 0" in card
    assert "No licence lies beside the recordings" in card
    page = (folder / PAGE).read_text()
    assert "<h2>How it fails</h2>" in page
    assert "at most 25.0% of" in card
    assert "of 2 complete ones (2 in all)" in card
    assert "| head.sigma2 | 0.02 |" in card
    assert ledger.plan.asked.data in card
    assert ledger.plan.machines["fan"].data_hash in card


def test_the_cards_program_runs(exported, monkeypatch, capsys):
    ledger, exports = exported
    folder = exports.models[0].folder
    card = (folder / CARD).read_text()
    program = card.split("```python\n")[1].split("```")[0]
    recording = next((Path(ledger.plan.asked.data) / "dev_data" / "fan" / "test").glob("*.wav"))
    monkeypatch.chdir(folder.parent)
    Path("recording.wav").write_bytes(recording.read_bytes())
    exec(program, {})
    score, decision = capsys.readouterr().out.split()
    bank = ledger.bank("fan")
    (index,) = np.flatnonzero(bank.table.name == recording.name)
    scorer = Scorer.open(folder)
    wanted = scorer.score(to_waveform(bank.clip(int(index))))
    assert float(score) == pytest.approx(wanted, rel=1e-9)
    assert (decision == "anomaly") == scorer.decide(wanted, SAMPLE_RATE)


def test_a_reference_that_was_not_kept_is_made_again(ledger, tmp_path, monkeypatch):
    best = choose(ledger.records("fan")).trial
    export_search(ledger, tmp_path / "kept", machines=["fan"], product="single")
    ledger.storage.delete(ledger.layout.reference(best.id))
    encoded = []
    encode = Detector.encode
    monkeypatch.setattr(Detector, "encode", lambda *a: encoded.append(len(a[2])) or encode(*a))
    export_search(ledger, tmp_path / "made", machines=["fan"], product="single")
    bank = ledger.bank("fan")
    assert len(bank.table.having(Role.TRAIN)) in encoded
    kept, made = (Scorer.open(tmp_path / name / "fan") for name in ("kept", "made"))
    wave = to_waveform(bank.clip(0))
    assert made.score(wave) == pytest.approx(kept.score(wave), rel=1e-5)
    assert (made.info.threshold, made.info.metrics) == (kept.info.threshold, kept.info.metrics)


def test_one_machine_that_fails_does_not_keep_the_others_from_their_models(ledger, tmp_path):
    fan, valve = choose(ledger.records("fan")).trial, ledger.read("valve-00000")
    done = fan.model_copy(update={"id": valve.id, "machine": "valve", "number": 0})
    ledger.write(done)
    ledger.write_scores(done.id, {name: np.zeros(len(ledger.clips("valve"))) for name in done.omega})
    exports = export_search(ledger, tmp_path, product="single")
    assert [model.info.machine for model in exports.models] == ["fan"]
    assert len(exports.failed) == 1
    assert "valve-00000/detector.pt is missing" in exports.failed[0]
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "runs") == ["fan"]


def test_exporting_again_replaces_the_model(ledger, tmp_path):
    export_search(ledger, tmp_path, machines=["fan"], false_alarms=0.5, product="single")
    before = read_info(tmp_path / "fan")
    export_search(ledger, tmp_path, machines=["fan"], false_alarms=0.1, product="single")
    after = read_info(tmp_path / "fan")
    assert after.threshold.value > before.threshold.value
    assert after.threshold == before.with_threshold(0.1).threshold
    files = {MODEL, INFO, CARD, PAGE, REQUIREMENTS, HEALTHY}
    assert {file.name for file in (tmp_path / "fan").iterdir()} == files
