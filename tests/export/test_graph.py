"""Several members in one graph, against their detectors and against each member's own graph."""

from collections import Counter

import numpy as np
import onnx
import pytest
from models import scorer

from humtune.detectors.classifier.backbones import MobileFaceNet
from humtune.detectors.classifier.recipe import Classifier
from humtune.detectors.frontends import Spectrogram
from humtune.errors import HumtuneError
from humtune.export.check import member_scores
from humtune.export.graph import Judge, Member, least_samples
from humtune.export.onnx import export_onnx
from humtune.metrics.calibration import GammaTail, Standard
from humtune.sounds.sound_file import to_waveform

pytestmark = pytest.mark.slow

CALIBRATING, TESTED = np.arange(12, 18), np.arange(18, 24)  # clips of `noises`, none in the reference
MEL = Spectrogram(n_fft=256, chunk_frames=96, n_mels=32)
SHORTER = MEL.model_copy(update={"chunk_frames": 48})  # the same spectrogram, another chunk of it
LINEAR = Spectrogram(n_fft=200, chunk_frames=40, n_mels=None)


def tiny(spectrogram: Spectrogram, **changes: object) -> Classifier:
    return Classifier(spectrogram=spectrogram, backbone=MobileFaceNet(width=0.125), **changes)


def counts(graph: bytes) -> Counter:
    return Counter(node.op_type for node in onnx.load_from_string(graph).graph.node)


@pytest.fixture(scope="module")
def members(make_detector, noises):
    """Two score types of one trial, a second trial with its spectrogram, a third with another one."""
    mel, shorter, linear = (
        make_detector(tiny(MEL)),
        make_detector(tiny(SHORTER, seed=1)),
        make_detector(tiny(LINEAR, seed=2)),
    )
    shorter.encoder.frontend.mean.add_(3.0)  # a standardisation of its own
    found = []
    for detector, score_type, weight, kind in (
        (mel, "cosine", 0.4, GammaTail),
        (mel, "nll", 0.1, Standard),
        (shorter, "cosine", 0.3, Standard),
        (linear, "nll", 0.2, GammaTail),
    ):
        normal = detector.score(detector.encode(noises, CALIBRATING))[score_type]
        found.append(Member(detector, score_type, weight, kind.of(normal)))
    return found


@pytest.fixture(scope="module")
def graph(members):
    return export_onnx(members, {})


@pytest.fixture(scope="module")
def alone(members):
    """Each member's own graph, uncalibrated and without a weight."""
    return [export_onnx([Member(member.detector, member.score_type)], {}) for member in members]


@pytest.fixture(scope="module")
def waves(noises):
    return [to_waveform(noises.clip(int(i))) for i in TESTED]


def test_a_member_without_reference_is_refused(make_detector, members):
    bare = make_detector(tiny(MEL))
    bare.reference = None
    with pytest.raises(HumtuneError, match="fan has no reference embeddings to score against"):
        Judge([members[0], Member(bare, "cosine")])


def test_the_graph_is_the_weighted_sum_of_the_detectors(members, graph, waves, noises):
    wanted = member_scores(members, noises, TESTED)
    assert wanted.std() > 0.1
    np.testing.assert_allclose([*map(scorer(graph), waves)], wanted, rtol=0, atol=1e-4 * wanted.std())


def test_sharing_changes_no_score(members, graph, alone, waves):
    """The sum made by hand out of graphs that share nothing; each weight counts."""
    separate = [
        member.calibration([*map(scorer(single), waves)])
        for member, single in zip(members, alone, strict=True)
    ]
    wanted = np.array([0.4, 0.1, 0.3, 0.2]) @ separate
    found = np.array([*map(scorer(graph), waves)])
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4 * wanted.std())
    for row in separate:  # without any one of them it would be another score
        assert np.abs(found - (wanted - 0.1 * row)).max() > 1e-2 * wanted.std()


def test_what_members_share_is_in_the_file_once(graph, alone):
    singles = [counts(single) for single in alone]
    together = counts(graph)
    assert [single["STFT"] for single in singles] == [1, 1, 1, 0]  # the last by the Fourier matrix
    assert together["STFT"] == 1  # of three members
    assert [single["Log"] for single in singles] == [1, 1, 1, 1]
    assert together["Log"] == 2  # a spectrogram of mels and a linear one, in decibels
    assert together["Conv"] == sum(singles[i]["Conv"] for i in (0, 2, 3))  # three networks, four members
    assert len(graph) < sum(len(alone[i]) for i in (0, 2, 3)) + 200_000


def test_the_shortest_clip_is_the_longest_of_the_members(members, graph):
    least = least_samples(members)
    assert least == 95 * 128
    score, noise = scorer(graph), np.random.default_rng(0).normal(0, 0.1, least).astype(np.float32)
    assert np.isfinite(score(noise))
    with pytest.raises(Exception, match="index"):
        score(noise[: least - 128])
