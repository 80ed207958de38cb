import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from models import scorer

from humtune.detectors.classifier.backbones import MobileFaceNet
from humtune.detectors.classifier.recipe import Classifier
from humtune.detectors.frontends import Spectrogram
from humtune.detectors.graph_network import OPSET
from humtune.errors import HumtuneError
from humtune.export.graph import Member, least_samples
from humtune.export.onnx import export_onnx
from humtune.metrics.calibration import Threshold
from humtune.runtime.info import INFO, MODEL, ModelInfo
from humtune.scores.encoded import Encoded
from humtune.sounds.sound_file import read_recording, to_waveform

pytestmark = pytest.mark.slow

TESTED = np.arange(12, 24)  # clips of `noises` that are not in the reference
TOLERANCE = 1e-4  # of the scores' spread

# an export takes seconds: each of these varies several things at once
VARIANTS = {
    "mel": Classifier(
        spectrogram=Spectrogram(n_fft=512, chunk_frames=64, n_mels=64),
        backbone=MobileFaceNet(width=0.25, activation="relu"),
    ),
    "empty mels, long chunk": Classifier(
        spectrogram=Spectrogram(n_fft=128, chunk_frames=256, n_mels=64),
        backbone=MobileFaceNet(width=0.125, activation="prelu", embedding=16),
    ),
    "linear, not a power of two": Classifier(
        spectrogram=Spectrogram(n_fft=400, chunk_frames=40, n_mels=None),
        backbone=MobileFaceNet(width=0.125, activation="leaky_relu"),
    ),
    "power, not a power of two": Classifier(
        spectrogram=Spectrogram(n_fft=1000, chunk_frames=33, n_mels=64, db=False),
        backbone=MobileFaceNet(width=0.125),
    ),
    "own hop, not a power of two": Classifier(
        spectrogram=Spectrogram(n_fft=400, hop=150, chunk_frames=40, n_mels=40, f_min=50, f_max=7800),
        backbone=MobileFaceNet(width=0.125),
    ),
    "an eighth of a window apart": Classifier(
        spectrogram=Spectrogram(n_fft=1024, hop=128, chunk_frames=64, n_mels=64),
        backbone=MobileFaceNet(width=0.125),
    ),
    "linear power": Classifier(
        spectrogram=Spectrogram(n_fft=256, chunk_frames=64, n_mels=None, db=False),
        backbone=MobileFaceNet(width=0.125),
    ),
}

PARTS = ("mahalanobis", "cosine", "nll")
FUSED = VARIANTS["linear, not a power of two"].model_copy(update={"scores": (*PARTS, "fusion")})


def real_recordings() -> list[Path]:
    """Test clips of DCASE 2023's ToyCar; none where they are not at hand."""
    folder = Path(os.environ.get("HUMTUNE_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
    return sorted((folder / "dcase2023").glob("**/ToyCar/test/*.wav"))


def test_a_detector_without_reference_is_refused(make_detector):
    detector = make_detector(VARIANTS["mel"])
    detector.reference = None
    with pytest.raises(HumtuneError, match="fan has no reference embeddings to score against"):
        export_onnx([Member(detector, "cosine")], {})


@pytest.mark.parametrize(
    ("variant", "score_type"),
    [
        ("mel", "cosine"),
        ("mel", "nll"),
        ("empty mels, long chunk", "cosine"),
        ("linear, not a power of two", "nll"),
        ("power, not a power of two", "cosine"),
        ("linear power", "nll"),
    ],
)
def test_the_graph_scores_as_the_detector_does(make_detector, noises, variant, score_type):
    detector = make_detector(VARIANTS[variant])
    wanted = detector.score(detector.encode(noises, TESTED))[score_type]
    detector.encoder.train()  # the graph must not depend on what the detector was doing
    score = scorer(export_onnx([Member(detector, score_type)], {}))
    found = np.array([score(to_waveform(noises.clip(int(i)))) for i in TESTED])
    assert wanted.std() > 1e-3 * abs(wanted.mean())  # else a small difference would say nothing
    np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCE * wanted.std())


@pytest.mark.parametrize(
    ("score_type", "head", "aggregation"),
    [
        ("knn", {"kind": "arcface"}, "max"),
        ("knn_normalised", {"kind": "cross_entropy"}, "mean"),
        ("mahalanobis", {"kind": "arcface"}, "embedding"),
        ("mahalanobis_class", {"kind": "variational"}, "median"),
        ("neg_logit", {"kind": "arcface"}, "max"),
        ("nll", {"kind": "variational"}, "embedding"),
    ],
)
def test_every_score_of_every_head_is_exported(make_detector, noises, score_type, head, aggregation):
    """The graph knows no section: it scores as the detector does a clip of an unknown one."""
    raw = VARIANTS["linear, not a power of two"].model_dump() | {"head": head, "scores": [score_type]}
    scoring = {"pool": "section", "aggregation": aggregation, "neighbours": 3}
    detector = make_detector(Classifier.model_validate(raw | {"scoring": scoring}))
    chunks = torch.arange(60) // 5
    detector.reference = replace(detector.reference, section=chunks % 2, label=chunks % 3)
    tested = replace(detector.encode(noises, TESTED), section=None)
    wanted = detector.score(tested)[score_type]
    score = scorer(export_onnx([Member(detector, score_type)], {}))
    found = np.array([score(to_waveform(noises.clip(int(i)))) for i in TESTED])
    assert wanted.std() > 1e-3 * abs(wanted.mean())
    np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCE * wanted.std())


def test_a_detector_that_cannot_join_its_scores_is_refused(make_detector):
    detector = make_detector(FUSED)
    detector.joints = {}
    with pytest.raises(HumtuneError, match="fan does not know how to join its score types"):
        export_onnx([Member(detector, "fusion")], {})


@pytest.mark.parametrize("aggregation", ["mean", "embedding"])
def test_fusion_is_one_graph_with_all_its_scores(make_detector, noises, aggregation):
    scoring = FUSED.scoring.model_copy(update={"aggregation": aggregation})
    detector = make_detector(FUSED.model_copy(update={"scoring": scoring}))
    wanted = detector.score(detector.encode(noises, TESTED))
    fusion = detector.joints["fusion"]
    z = np.stack([(wanted[t] - fusion.centre[t]) / fusion.spread[t] for t in PARTS])
    assert len(set(z.argmin(axis=0))) > 1  # more than one type has its say
    graph = export_onnx([Member(detector, "fusion")], {})
    score = scorer(graph)
    found = np.array([score(to_waveform(noises.clip(int(i)))) for i in TESTED])
    np.testing.assert_allclose(found, wanted["fusion"], rtol=0, atol=TOLERANCE * wanted["fusion"].std())
    network = len(export_onnx([Member(detector, "cosine")], {}))
    assert len(graph) < 1.3 * network  # the network is in it once


def test_real_recordings_score_as_the_detector_does(make_detector, make_bank):
    files = real_recordings()[::5]
    if not files:
        pytest.skip("no real recordings of DCASE 2023; HUMTUNE_REAL_DATA names a folder of them")
    bank = make_bank([read_recording(file).samples for file in files])
    detector = make_detector(VARIANTS["mel"], bank)
    tested = np.arange(12, len(files))
    wanted = detector.score(detector.encode(bank, tested))["cosine"]
    score = scorer(export_onnx([Member(detector, "cosine")], {}))
    found = np.array([score(to_waveform(bank.clip(int(i)))) for i in tested])
    np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCE * wanted.std())


def test_every_length_from_one_chunk_on(make_detector, make_bank):
    recipe = VARIANTS["linear, not a power of two"]
    detector = make_detector(recipe)
    score = scorer(export_onnx([Member(detector, "cosine")], {}))
    least, hop = least_samples([Member(detector, "nll")]), recipe.spectrogram.hop_samples
    lengths = [least, least + 1, least + hop - 1, least + hop, 2 * least + 1, 5 * least + 7, 400_001]
    rng = np.random.default_rng(0)
    clips = [rng.integers(-9_000, 9_000, length).astype(np.int16) for length in lengths]
    wanted = detector.score(detector.encode(make_bank(clips), np.arange(len(clips))))["cosine"]
    found = [score(to_waveform(clip)) for clip in clips]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCE * wanted.std())
    with pytest.raises(Exception, match="index"):
        score(to_waveform(clips[0])[:-1])


def test_silence_and_full_scale_have_scores(make_detector, make_bank):
    detector = make_detector(VARIANTS["mel"])
    score = scorer(export_onnx([Member(detector, "nll")], {}))
    rng = np.random.default_rng(0)
    for clip in (np.zeros(40_000, np.int16), rng.choice([-32_768, 32_767], 40_000).astype(np.int16)):
        wanted = detector.score(detector.encode(make_bank([clip]), np.arange(1)))["nll"][0]
        assert score(to_waveform(clip)) == pytest.approx(wanted, rel=1e-5)


def test_the_file_is_one_and_says_what_it_is(make_detector, capfd, recwarn):
    detector = make_detector(VARIANTS["linear, not a power of two"])
    mean, count = detector.reference.mean, 2_000  # a reference that outweighs the network
    many = mean.repeat(-(-count // len(mean)), 1)[:count].clone()
    detector.reference = Encoded(many, many.clone(), detector.reference.clip.repeat(99)[:count])
    graph = export_onnx([Member(detector, "nll")], {"machine": "fan", "humtune": "1.2"})
    said = capfd.readouterr()
    assert (said.out, said.err, list(recwarn)) == ("", "", [])
    model = onnx.load_from_string(graph)
    onnx.checker.check_model(model, full_check=True)
    assert {p.key: p.value for p in model.metadata_props} == {"machine": "fan", "humtune": "1.2"}
    assert (model.producer_name, model.producer_version) == ("humtune", "1.2")
    assert [(o.domain, o.version) for o in model.opset_import if not o.domain] == [("", OPSET)]
    assert not [t.name for t in model.graph.initializer if t.external_data]
    assert str(Path(__file__).parents[2]).encode() not in graph  # no paths of this computer
    assert not [node for node in model.graph.node if node.op_type == "BatchNormalization"]
    weights = sum(p.numel() for p in detector.encoder.parameters()) + 2 * many.numel() + 2 * 400 * 402
    assert len(graph) < 1.15 * 4 * weights  # each number once; float64 is the Fourier matrix alone


@pytest.mark.integration
def test_a_fresh_process_without_torch_scores_the_same(make_detector, make_bank, noises, tmp_path):
    """Noise, and real recordings where there are some."""
    recipe = VARIANTS["mel"]
    detector = make_detector(recipe)
    clips = [noises.clip(int(i)) for i in TESTED] + [
        read_recording(file).samples for file in real_recordings()[:8]
    ]
    wanted = detector.score(detector.encode(make_bank(clips), np.arange(len(clips))))["nll"]
    info = ModelInfo(
        machine="fan",
        score_type="nll",
        threshold=Threshold(value=float(np.median(wanted)), false_alarms=0.1, clips=12),
        sample_rate=16_000,
        least_samples=least_samples([Member(detector, "nll")]),
        window=max(map(len, clips)),
        search="s",
        trial="fan-00000",
        configuration={},
        metrics={},
        versions={},
    )
    metadata = {name: getattr(info, name) for name in ("machine", "search", "trial", "score_type")}
    (tmp_path / MODEL).write_bytes(export_onnx([Member(detector, "nll")], metadata))
    (tmp_path / INFO).write_text(info.model_dump_json())
    np.savez(tmp_path / "clips.npz", *map(to_waveform, clips))
    program = (
        "import json, sys; from pathlib import Path; import numpy as np\n"
        "from humtune.runtime.scorer import Scorer\n"
        "folder = Path(sys.argv[1]); scorer = Scorer.open(folder); clips = np.load(folder / 'clips.npz')\n"
        "scores = [scorer.score(clips[name]) for name in clips.files]\n"
        "assert 'torch' not in sys.modules\n"
        "print(json.dumps([scores, [scorer.decide(s, 16000) for s in scores]]))"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    scores, decisions = json.loads(result.stdout)
    np.testing.assert_allclose(scores, wanted, rtol=0, atol=TOLERANCE * wanted.std())
    assert sum(decisions) == len(clips) // 2


def test_the_exporters_operators_are_read_once(make_detector, monkeypatch):
    """A version of PyTorch with other names inside would be twice as slow, and nothing else would tell."""
    from torch.onnx._internal.exporter import _registration

    from humtune.export import operators

    reads, own = [], _registration.ONNXRegistry.from_torchlib
    monkeypatch.setattr(operators, "_read", {})
    monkeypatch.setattr(
        _registration.ONNXRegistry,
        "from_torchlib",
        staticmethod(lambda opset_version: reads.append(opset_version) or own(opset_version)),
    )
    with operators.kept_operators():
        first, second = (_registration.ONNXRegistry.from_torchlib(opset_version=20) for _ in range(2))
        first.functions.clear()
    assert reads == [20]
    assert len(second.functions) > 100
    _registration.ONNXRegistry.from_torchlib(opset_version=20)
    assert reads == [20, 20]
