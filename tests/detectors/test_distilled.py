"""Students: they give back what a simple teacher says, of clips that they never met."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from humtune.detectors.detector import Detector
from humtune.detectors.distilled import Distilled, compressed
from humtune.detectors.recipe import recipe_of
from humtune.errors import HumtuneError, UsageError
from humtune.sounds.bank import ClipBank
from humtune.sounds.table import Role
from humtune.testing.recordings import levels, small_bank, taught

pytestmark = pytest.mark.usefixtures("one_thread")

TREE = {
    "family": "distilled",
    "spectrogram": {"n_fft": 256, "chunk_frames": 32, "n_mels": 32},
    "backbone": {"width": 0.125, "embedding": 16},
    "epochs": 25,
    "batch_size": 16,
    "chunks_per_clip": 1,
}


@pytest.fixture(scope="module")
def bank() -> ClipBank:
    return louder(small_bank())


def louder(bank: ClipBank) -> ClipBank:
    """The bank with clips of all kinds of loudness."""
    rng = np.random.default_rng(3)
    clips = [(bank.clip(i) * 10 ** rng.uniform(-0.5, 0.4)).astype(np.int16) for i in range(len(bank.table))]
    return ClipBank(bank.table, np.concatenate(clips), bank.offsets, "louder")


@pytest.fixture(scope="module")
def student(bank: ClipBank) -> Detector:
    return recipe_of(TREE | {"teachers": 2}).start(taught(bank, 2, lessons=100)).run()


def test_a_student_recovers_what_a_simple_teacher_says(bank: ClipBank, student: Detector) -> None:
    new = bank.table.having(Role.HELD_OUT, Role.SELECT)
    own = student.score(student.encode(bank, new))["own"]
    assert spearmanr(own, levels(bank, new)).statistic > 0.95


def test_the_score_is_what_the_first_teacher_would_say(bank: ClipBank, student: Detector) -> None:
    new = bank.table.having(Role.HELD_OUT, Role.SELECT)
    outputs = student.encoder.outputs(bank, new)
    assert outputs.shape == (2, len(new))
    np.testing.assert_allclose(outputs[0], student.score(student.encode(bank, new))["own"], rtol=1e-5)
    assert spearmanr(outputs[1], levels(bank, new)).statistic > 0.9
    assert np.abs(outputs[1] - outputs[0]).max() > 0


def test_targets_are_straight_for_healthy_clips_and_compressed_above() -> None:
    targets = np.array([[-1.0, 1.0, 0.01, 1000.0], [5.0, 5.0, 5.0, 6.0]])
    found = compressed(targets, np.array([0, 1]))
    assert found.shape == (4, 2)
    np.testing.assert_allclose(found[:, 0], np.arcsinh([-1, 1, 0.01, 1000]))
    np.testing.assert_allclose(found[:, 1], np.arcsinh([0, 0, 0, 1]))  # training clips all alike: no spread


def test_without_lessons_it_says_which_command_makes_them(bank: ClipBank) -> None:
    recipe = recipe_of(TREE)
    with pytest.raises(UsageError, match=r"learns of a finished search's ensemble; `humtune distill NAME`"):
        recipe.check(bank.table, bank.lengths)
    with pytest.raises(HumtuneError, match=r"what 0 teachers say, teachers = 1"):
        recipe.start(bank)
    with pytest.raises(HumtuneError, match=r"what 2 teachers say, teachers = 1"):
        recipe.start(taught(bank, 2))


def test_a_backbone_that_takes_something_else_is_refused(bank: ClipBank) -> None:
    recipe = recipe_of(TREE | {"backbone": {"kind": "wavenet"}})
    with pytest.raises(UsageError, match=r"backbone.kind = wavenet takes a waveform"):
        recipe.check(taught(bank).table, bank.lengths)


def test_one_epoch_is_too_few() -> None:
    with pytest.raises(ValueError, match="epochs"):
        Distilled(epochs=1)


def test_a_student_may_have_a_backbone_of_several_branches(bank: ClipBank) -> None:
    settings = {
        "spectrogram": {"kind": "multiresolution", "chunk_frames": 16, "n_ffts": [256]},
        "backbone": {"kind": "branches", "channels": 4, "embedding": 8},
        "epochs": 2,
    }
    student = recipe_of(TREE | settings).start(taught(bank)).run()
    new = bank.table.having(Role.SELECT)
    assert np.isfinite(student.score(student.encode(bank, new))["own"]).all()
