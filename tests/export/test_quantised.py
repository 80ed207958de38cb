"""The int8 model of a really trained trial: what is in it, what it says, and that all it knows is its own."""

from dataclasses import replace

import numpy as np
import onnx
import pytest

from humtune.detectors.autoencoder import Autoencoder
from humtune.detectors.classifier.backbones import MobileFaceNet
from humtune.detectors.classifier.recipe import Classifier
from humtune.detectors.frontends import Spectrogram
from humtune.errors import HumtuneError
from humtune.export.blueprint import Blueprint, measure_exportable, single
from humtune.export.check import member_scores
from humtune.export.graph import Member
from humtune.export.quantised import in_int8, quantise
from humtune.export.search import export_search
from humtune.ledger import Ledger
from humtune.metrics.calibration import Standard
from humtune.results.measure import Measured
from humtune.runtime.info import CARD, INFO, INT8, MODEL, PAGE, read_info
from humtune.runtime.scorer import Scorer
from humtune.sounds.sound_file import to_waveform
from humtune.sounds.table import Role
from humtune.storage import Storage
from humtune.testing.recordings import small_bank

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def exported(finished, tmp_path_factory):
    """The finished search and its models, one of each precision."""
    ledger = Ledger.open(Storage(finished), "small")
    return ledger, export_search(
        ledger, tmp_path_factory.mktemp("out"), machines=["fan"], product="single", int8=True
    )


def test_a_machine_without_training_clips_is_refused(ledger):
    plan = single(ledger, measure_exportable(ledger, "fan"))
    bank = replace(plan.bank, table=plan.bank.table.with_columns(role=str(Role.HELD_OUT)))
    with pytest.raises(HumtuneError, match="there are no clips to cut chunks from"):
        quantise(plan.members[0].detector, bank)


def test_a_family_without_convolutions_says_that_it_has_no_int8():
    bank = small_bank()
    recipe = Autoencoder(
        spectrogram=Spectrogram(n_fft=256, chunk_frames=16, n_mels=16), hidden=8, layers=1, epochs=1
    )
    with pytest.raises(HumtuneError, match=r"autoencoder has no network to quantise.*without --int8"):
        quantise(recipe.start(bank).run(), bank)


def test_the_networks_are_int8_and_the_ends_are_not(exported):
    _, exports = exported
    full, small = (onnx.load(model.folder / MODEL).graph for model in exports.models)
    assert [model.info.precision for model in exports.models] == ["fp32", INT8]
    assert not [node for node in full.node if node.op_type == "QuantizeLinear"]
    convolutions = [node for node in small.node if node.op_type == "Conv"]
    kinds = {t.name: t.data_type for t in small.initializer}
    whole = [n for n in convolutions if kinds.get(n.input[1]) == onnx.TensorProto.FLOAT]
    assert len(whole) == 5 * 4  # of each chunk the first two and the last two
    assert len(convolutions) == 5 * 23
    assert onnx.TensorProto.INT8 in kinds.values()
    weights = {node.input[0] for node in small.node if node.op_type == "DequantizeLinear"} & kinds.keys()
    assert {kinds[name] for name in weights} <= {onnx.TensorProto.INT8, onnx.TensorProto.INT32}
    numbers = [onnx.numpy_helper.to_array(t) for t in small.initializer if t.name in weights]
    assert max(np.abs(n).max() for n in numbers if n.dtype == np.int8) == 64  # seven bits


def test_threshold_reference_and_figures_are_its_own(exported):
    ledger, exports = exported
    full, small = exports.models
    clips, bank = ledger.clips("fan"), ledger.bank("fan")
    assert small.info.evidence.held_out == tuple(small.scores[clips.having(Role.HELD_OUT)])
    assert small.info.threshold.value != full.info.threshold.value
    assert "omega_select_official" in small.info.metrics
    assert not {"omega_cross_fitted", "pseudo"} & small.info.metrics.keys()
    scored = bank.table.having(Role.HELD_OUT, Role.SELECT, Role.REPORT)
    scorer = Scorer.open(small.folder)
    found = np.array([scorer.score(to_waveform(bank.clip(int(i)))) for i in scored])
    np.testing.assert_allclose(found, small.scores, rtol=0, atol=0.1 * small.scores.std())
    assert np.corrcoef(found, full.scores)[0, 1] > 0.9


def test_the_two_stand_beside_one_another(exported):
    _, exports = exported
    full, small = exports.models
    assert small.info.omega is not None
    assert small.folder == full.folder / INT8
    assert read_info(small.folder).trial == full.info.trial
    for folder in (full.folder, small.folder):
        assert {MODEL, INFO, CARD, PAGE} <= {file.name for file in folder.iterdir()}
    card, own = ((folder / CARD).read_text() for folder in (full.folder, small.folder))
    assert f"| in int8 (`int8/`) | {small.cost.size / 1e6:.2f} |" in card
    assert 'InferenceSession("fan/int8/model.onnx")' in own
    assert "This is the model of the folder above in int8" in own


def test_an_ensemble_is_calibrated_anew_and_fused_scores_are_fused_anew(make_detector, noises):
    """By their own held-out scores: those of the float32 networks are others."""
    recipe = Classifier(
        spectrogram=Spectrogram(n_fft=256, chunk_frames=32, n_mels=32),
        backbone=MobileFaceNet(width=0.125),
        scores=("cosine", "nll", "fusion"),
    )
    detector = make_detector(recipe)
    roles = np.where(np.arange(len(noises.table)) < 12, str(Role.TRAIN), str(Role.HELD_OUT))
    bank = replace(noises, table=noises.table.with_columns(role=roles))
    held_out = bank.table.having(Role.HELD_OUT)
    before = detector.score(detector.encode(bank, held_out))
    members = (
        Member(detector, "cosine", 0.5, Standard.of(before["cosine"])),
        Member(detector, "fusion", 0.5, None),
    )
    clips = bank.table.take(held_out)
    scores = member_scores(members, bank, held_out)
    measured = Measured("fan", (), None, clips, scores)
    found = in_int8(Blueprint("fan-ensemble", "ensemble", members, {}, bank, scores, measured))
    own, fused = found.members
    assert own.detector is fused.detector
    assert own.detector.joints["fusion"].centre != detector.joints["fusion"].centre
    assert own.calibration != members[0].calibration
    alone = member_scores([replace(own, weight=1.0)], bank, held_out)
    assert (alone.mean(), alone.std()) == (pytest.approx(0, abs=1e-6), pytest.approx(1))
    np.testing.assert_allclose(found.scores, member_scores(found.members, bank, held_out))
