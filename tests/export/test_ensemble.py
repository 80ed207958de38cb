"""From an ensemble of trained trials to a model folder that scores recordings."""

import shutil
import time
from dataclasses import dataclass

import numpy as np
import pytest
import soundfile

from humtune.detectors.frontends import Spectrogram
from humtune.errors import HumtuneError
from humtune.export.check import Cost
from humtune.export.search import export_search
from humtune.ledger import Ledger
from humtune.metrics.calibration import Compressed, GammaTail, Standard
from humtune.results.ensembles.leaving import check_leaving, machine_scores
from humtune.results.ensembles.record import EnsembleRecord, Member, Settings, ensemble_scores, write_ensemble
from humtune.runtime.info import CARD, read_info
from humtune.runtime.recordings import Listener
from humtune.runtime.scorer import Scorer
from humtune.sounds.sound_file import to_waveform
from humtune.sounds.table import Role
from humtune.storage import Storage

pytestmark = pytest.mark.slow

TAKEN = (  # trial, score type, calibration, the machine's weight, section 1's
    (0, "cosine", GammaTail, 0.5, 0.0),
    (0, "nll", Standard, 0.2, 0.0),
    (2, "nll", Compressed, 0.3, 0.5),
    (1, "cosine", Standard, 0.0, 0.5),  # no recording from elsewhere needs it
)
GREEDY = (0.61, 0.63)  # cross-fitted Ω of two splits, whatever they were


def join(ledger: Ledger, taken=TAKEN, **changes: object) -> EnsembleRecord:
    """Write an ensemble of fan's trials with these weights."""
    clips = ledger.clips("fan")
    raw = [ledger.scores(f"fan-{number:05d}", kind) for number, kind, *_ in taken]
    scales = [row[2].of(vector[clips.having(Role.HELD_OUT)]) for row, vector in zip(taken, raw, strict=True)]
    record = EnsembleRecord(
        id="fan-ensemble",
        machine="fan",
        members=tuple(
            Member(trial=f"fan-{number:05d}", score_type=kind, calibration=scale)
            for (number, kind, *_), scale in zip(taken, scales, strict=True)
        ),
        weights=tuple(weight for *_, weight, _ in taken),
        sections={1: tuple(weight for *_, weight in taken)},
        settings=Settings(candidates=6),
        compared={"best single": (0.6, 0.6), "greedy": GREEDY, "ensemble": (0.65, 0.66)},
        created=time.time(),
        version="0",
    )
    calibrated = np.stack([scale(vector) for scale, vector in zip(scales, raw, strict=True)])
    written = write_ensemble(ledger, record, record.combine(calibrated, clips.section))
    return write_ensemble(ledger, written.model_copy(update=changes), ensemble_scores(ledger, written))


def cost_by_size(graph: bytes, window: int) -> Cost:
    """A model's cost on a computer that nothing else runs on: a second a megabyte."""
    return Cost(len(graph), len(graph) / 1e6)


@dataclass(frozen=True)
class Case:
    ledger: Ledger
    record: EnsembleRecord
    exports: object
    recorded: np.ndarray  # [N], with the machine's weights


@pytest.fixture(scope="module")
def case(finished, tmp_path_factory, train) -> Case:
    """Trials 0 and 1 of fan, a third one with another spectrogram, and their ensemble, exported."""
    folder = tmp_path_factory.mktemp("ensemble")
    shutil.copytree(finished, folder / "runs")
    ledger = Ledger.open(Storage(folder / "runs"), "small")
    train(ledger, 2, spectrogram=Spectrogram(n_fft=400, chunk_frames=25, n_mels=None), seed=2)
    record = join(ledger)
    recorded = sum(
        weight * member.calibration(ledger.scores(member.trial, member.score_type))
        for member, weight in zip(record.members, record.weights, strict=True)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("humtune.export.model.clip_cost", cost_by_size)
        patch.setattr("humtune.export.choice.clip_cost", cost_by_size)
        exports = export_search(ledger, folder / "models", false_alarms=0.25, product="ensemble")
    return Case(ledger, record, exports, recorded)


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        (Member(system="a/winner"), "a/winner is known by its score files alone"),
        (Member(trial="fan-00000", score_type="nll"), "fan-00000 nll is ranked within a whole test set"),
        (
            Member(trial="fan-00000", score_type="neg_logit", calibration=Standard(0.0, 1.0)),
            "fan-00000 neg_logit scores a clip against its own section, which an exported model can't know",
        ),
    ],
)
def test_a_member_that_cannot_leave_is_named_with_the_mend(ledger, member, reason):
    record = join(ledger, TAKEN[:2])
    record = record.model_copy(update={"members": (record.members[0], member)})
    with pytest.raises(HumtuneError, match=f"fan: the ensemble can't be exported: {reason}") as caught:
        check_leaving(ledger, record)
    assert str(caught.value).endswith("choose it anew with humtune ensemble small --exportable")


def test_a_trial_that_needs_the_section_cannot_leave_unless_only_a_section_wants_it(ledger):
    record, trial = join(ledger, (TAKEN[0], TAKEN[3])), ledger.read("fan-00001")
    config = trial.config | {"scoring": {"pool": "section"}}
    ledger.write(trial.model_copy(update={"config": config}))
    assert check_leaving(ledger, record).keys() == {"fan-00000"}
    record = record.model_copy(update={"weights": (0.5, 0.5)})
    with pytest.raises(HumtuneError, match="fan-00001 cosine scores a clip against its own section"):
        check_leaving(ledger, record)


def test_an_ensemble_that_its_trials_no_longer_give_is_refused(ledger):
    record = join(ledger, TAKEN[:2])
    np.testing.assert_array_equal(machine_scores(ledger, record)[0] != 0, True)
    ledger.write_scores("fan-00000", {"nll": ledger.scores("fan-00000", "nll") + 1.0})
    with pytest.raises(HumtuneError, match="of other scores than its trials have now; make it again with"):
        machine_scores(ledger, record)


def test_weights_of_another_trial_are_not_exported(ledger, tmp_path):
    join(ledger, TAKEN[:2])
    other = ledger.storage.read(ledger.layout.detector("fan-00001"))
    ledger.storage.write(ledger.layout.detector("fan-00000"), other)
    with pytest.raises(
        HumtuneError, match=r"fan, fan-ensemble: its weights give ensemble .* belong together"
    ):
        export_search(ledger, tmp_path / "models", product="ensemble", machines=["fan"])
    assert not (tmp_path / "models").exists()


def test_the_model_scores_recordings_as_the_ensemble_does_a_clip_of_unknown_section(case):
    ledger, (model,) = case.ledger, case.exports.models
    assert case.exports.skipped == ("valve: no trial has run its whole budget yet",)
    scorer, bank = Scorer.open(model.folder), ledger.bank("fan")
    scored = bank.table.having(Role.HELD_OUT, Role.SELECT, Role.REPORT)
    found = np.array([scorer.score(to_waveform(bank.clip(int(i)))) for i in scored])
    np.testing.assert_allclose(found, case.recorded, rtol=0, atol=1e-3 * case.recorded.std())
    assert model.parity < 1e-3
    own = ensemble_scores(ledger, case.record)  # a section's own weights where it has some
    here = ledger.clips("fan").section == 1
    np.testing.assert_allclose(found[~here], own[~here], rtol=0, atol=1e-3 * case.recorded.std())
    assert np.abs(found[here] - own[here]).max() > 0.1 * own.std()


def test_the_settings_say_what_it_is_made_of(case):
    info = read_info(case.exports.models[0].folder)
    held_out = case.recorded[case.ledger.clips("fan").having(Role.HELD_OUT)]
    assert info.evidence.held_out == pytest.approx(tuple(held_out))
    assert info.threshold == info.evidence.threshold(0.25)
    alone = case.ledger.bank("fan").table.having(Role.TRAIN, Role.HELD_OUT)
    assert sum(len(group.scores) for group in info.evidence.left_out) == len(alone)
    assert (info.trial, info.score_type, info.least_samples) == ("fan-ensemble", "ensemble", 24 * 200)
    members = [(m["trial"], m["score_type"], m["weight"]) for m in info.configuration["members"]]
    assert members == [("fan-00000", "cosine", 0.5), ("fan-00000", "nll", 0.2), ("fan-00002", "nll", 0.3)]
    assert info.configuration["trials"].keys() == {"fan-00000", "fan-00002"}
    assert info.metrics["omega_cross_fitted"] == pytest.approx(np.mean(GREEDY))
    assert "omega_select_official" in info.metrics


def test_the_card_tells_members_and_what_they_cost_beside_the_best_single(case):
    card = (case.exports.models[0].folder / CARD).read_text()
    alone = 100 * case.ledger.read("fan-00002").omega["nll"]
    assert f"| fan-00002 | nll | 0.300 | {alone:.1f} | classifier | – |" in card
    assert "fan-00001 | cosine | 0" not in card
    assert "the weighted sum of 3 calibrated scores" in card
    assert "| greedy | 62.0 ± 1.0 |" in card
    assert "| **Ω cross-fitted** (on clips that did not choose) | 62.0 ± 1.0 |" in card
    rows = [
        line.split(" | ") for line in card.splitlines() if line.startswith(("| this model", "| the best"))
    ]
    (_, size, time_, _), (name, size_alone, time_alone, omega) = rows
    cost = case.exports.models[0].cost
    assert (size, time_) == (f"{cost.size / 1e6:.2f}", f"{1e3 * cost.seconds:.1f}")
    assert float(size) > float(size_alone) > 0
    assert float(time_alone) == pytest.approx(1e3 * float(size_alone), abs=5)  # of its own graph
    *_, trial, score = name.split()
    assert omega.strip(" |") == f"{100 * case.ledger.read(trial).omega[score]:.1f}"


def test_a_short_recording_is_repeated_to_the_longest_member(case, tmp_path):
    scorer = Scorer.open(case.exports.models[0].folder)
    short = np.random.default_rng(0).normal(0, 0.1, 3_000)
    soundfile.write(tmp_path / "short.wav", short, 16_000, subtype="PCM_16")
    found = Listener(scorer).score(tmp_path / "short.wav")
    assert found.notes == ("repeated to the model's shortest, 0.30 s",)
    wave, _ = soundfile.read(tmp_path / "short.wav", dtype="float32")
    assert found.score == pytest.approx(scorer.score(np.resize(wave, 4_800)), rel=1e-6)
