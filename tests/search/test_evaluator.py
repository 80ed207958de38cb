"""What a detector is measured by, held against asking the detector itself."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from humtune.config import TEST_CHUNKS
from humtune.detectors.classifier.recipe import Classifier
from humtune.detectors.detector import Detector
from humtune.metrics.cells import Cells
from humtune.metrics.omega import PseudoCells, omega
from humtune.search.evaluator import Evaluator
from humtune.sounds.bank import ClipBank
from humtune.sounds.probes import ProbeKind, make_probes, scored_table
from humtune.sounds.table import SCORED, UNKNOWN, Role
from humtune.storage import Storage

RECIPE = Classifier.model_validate(
    {
        "spectrogram": {"n_fft": 64, "chunk_frames": 32, "n_mels": 16},
        "backbone": {"width": 0.1, "embedding": 8},
        "training": {"epochs": 1, "batch_size": 8, "chunks_per_clip": 2},
        "scores": ["cosine", "nll", "neg_logit"],
    }
)


@pytest.fixture
def probes(bank: ClipBank, tmp_path: Path) -> ClipBank:
    made = make_probes(bank, [], Storage(tmp_path / "runs"))
    assert made is not None
    return made


@pytest.fixture
def detector(bank: ClipBank) -> Detector:
    return RECIPE.start(bank).run()


def test_scores_are_of_the_clips_and_then_of_the_probes(
    bank: ClipBank, probes: ClipBank, detector: Detector
) -> None:
    measured = Evaluator(bank, probes).measure(detector)
    table = scored_table(bank, probes)
    clips = detector.score(detector.encode(bank, bank.table.having(*SCORED)))
    faults = np.flatnonzero(probes.table.part == str(ProbeKind.FAULT))
    disturbed = detector.score(detector.encode(probes, faults))
    for name, vector in measured.scores.items():
        assert len(vector) == len(table)
        assert np.array_equal(vector[: len(clips[name])], clips[name])
        assert vector[np.flatnonzero(table.part == str(ProbeKind.FAULT))] == pytest.approx(disturbed[name])
        assert measured.omega[name] == omega(vector, Cells.of(table, Role.SELECT))
        assert measured.pseudo[name] == PseudoCells(table).omega(vector)


def test_hidden_clips_are_scored_and_have_no_part_in_any_figure(bank: ClipBank, detector: Detector) -> None:
    role = bank.table.role.copy()
    role[bank.table.having(Role.SELECT)[::3]] = Role.HIDDEN  # a clip of each cell
    hiding = replace(bank, table=replace(bank.table, role=role))
    measured = Evaluator(hiding, None).measure(detector)
    table = scored_table(hiding, None)
    hidden = table.having(Role.HIDDEN)
    assert len(hidden) == 8
    for name, vector in measured.scores.items():
        assert np.isfinite(vector[hidden]).all()
        shuffled = vector.copy()
        shuffled[hidden] = np.random.default_rng(0).normal(size=len(hidden))
        assert measured.omega[name] == omega(shuffled, Cells.of(table, Role.SELECT))


def test_a_claimed_section_is_believed(bank: ClipBank, probes: ClipBank, detector: Detector) -> None:
    """A clip's own section has the training clips that are like it; another's are further off."""
    vector = Evaluator(bank, probes).measure(detector).scores["cosine"]
    table = scored_table(bank, probes)
    claims = np.flatnonzero(table.part == str(ProbeKind.SECTION))
    honest, lying = np.split(vector[claims], 2)
    with_pool = detector.score(
        detector.encode(probes, np.flatnonzero(probes.table.part == str(ProbeKind.SECTION))), pool="section"
    )
    assert np.concatenate([honest, lying]) == pytest.approx(with_pool["cosine"])
    assert not np.allclose(honest, lying, rtol=1e-3, atol=0)  # without the claim the same sounds score alike


def test_a_measurement_without_probes_or_labels_has_no_figures(bank: ClipBank, detector: Detector) -> None:
    label = np.where(bank.table.split == "test", UNKNOWN, bank.table.label)
    unknown = replace(bank, table=replace(bank.table, label=label))
    measured = Evaluator(unknown, None).measure(detector)
    assert (measured.omega, measured.pseudo) == ({}, {})
    assert set(measured.metrics) == {"accuracy_held_out", "accuracy_test"}
    assert all(len(vector) == len(bank.table.having(*SCORED)) for vector in measured.scores.values())


def test_accuracy_counts_clips_that_are_told_their_own_class(bank: ClipBank, detector: Detector) -> None:
    clips = bank.table.having(Role.SELECT)
    chunks = detector.encode(bank, clips).logits
    logits = chunks.view(-1, TEST_CHUNKS, len(detector.encoder.classes)).mean(dim=1)
    right = logits.argmax(dim=1).numpy() == bank.table.section[clips]
    measured = Evaluator(bank, None).measure(detector)
    assert measured.accuracy["accuracy_test"] == pytest.approx(right.mean())
    assert measured.metrics["omega"] == max(measured.omega.values())
