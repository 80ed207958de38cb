"""One encoder for several machines, of any family: trained on all of them, and a detector of each."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from humtune.detectors.autoencoder import Autoencoder
from humtune.detectors.classifier.backbones import MobileFaceNet
from humtune.detectors.classifier.fit import Training
from humtune.detectors.classifier.recipe import Classifier
from humtune.detectors.detector import Detector
from humtune.detectors.flow import Flow
from humtune.detectors.frontends import Spectrogram
from humtune.detectors.gaussian_mixture import GaussianMixture
from humtune.detectors.noop import Noop
from humtune.detectors.recipe import Recipe
from humtune.sounds.bank import ClipBank
from humtune.sounds.joined import join_banks
from humtune.sounds.table import SCORED, Role
from humtune.testing.contract import check_resume, check_same_seed, check_settings
from humtune.testing.recordings import small_bank

TINY = Spectrogram(n_fft=256, chunk_frames=32, n_mels=16)
CLASSIFIER = Classifier(
    spectrogram=TINY,
    backbone=MobileFaceNet(width=0.125, embedding=16),
    training=Training(epochs=2, batch_size=8, chunks_per_clip=1),
    scores=("cosine", "nll", "neg_logit", "fusion"),
)
RECIPES = [
    CLASSIFIER,
    Autoencoder(spectrogram=TINY, hidden=8, layers=1, bottleneck=4, epochs=2, chunks_per_clip=1),
    Flow(spectrogram=TINY, hidden=8, layers=1, transforms=2, frames=1, epochs=2, chunks_per_clip=1),
    GaussianMixture(n_fft=256, n_mels=16),
    Noop(steps=2),
]


@pytest.fixture(scope="module")
def banks() -> dict[str, ClipBank]:
    return {"fan": small_bank("fan", sections=1, seed=1), "valve": small_bank("valve", sections=3, seed=2)}


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.family)
def test_a_detector_of_each_machine_comes_of_one_fit(recipe: Recipe, banks: dict[str, ClipBank]) -> None:
    """Its reference and joint scores are the machine's own, as of a detector that is put together by hand."""
    joined = join_banks(banks.values())
    recipe.check(joined.table, joined.lengths)
    check_settings(recipe)
    fit = recipe.start(joined)
    while fit.done < recipe.budget:
        fit.step()
    for machine, bank in banks.items():
        found = fit.finish(bank)
        by_hand = Detector(recipe, fit.encoder, machine=machine)
        by_hand.reference = by_hand.encode(bank, bank.table.having(Role.TRAIN))
        by_hand.join(bank, bank.table.having(Role.HELD_OUT))
        clips = bank.table.having(*SCORED)
        scores, wanted = (d.score(d.encode(bank, clips)) for d in (found, by_hand))
        assert found.machine == machine
        assert set(scores) == set(recipe.score_types) == set(wanted)
        for name, vector in scores.items():
            assert np.isfinite(vector).all()
            np.testing.assert_array_equal(vector, wanted[name])


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.family)
def test_a_fit_to_several_machines_keeps_the_contract(recipe: Recipe, banks: dict[str, ClipBank]) -> None:
    """Equal seeds give equal scores, and a fit goes on after a stop as if it had not stopped."""
    joined = join_banks(banks.values())
    check_resume(recipe, joined, check_same_seed(recipe, joined))


def test_the_order_of_machines_changes_no_weight(banks: dict[str, ClipBank]) -> None:
    one, other = (CLASSIFIER.start(join_banks(order)) for order in (banks.values(), [*banks.values()][::-1]))
    assert one.step() == other.step()
    for name, tensor in one.encoder.state_dict().items():
        assert torch.equal(tensor, other.encoder.state_dict()[name]), name


def test_all_machines_are_learned_from(banks: dict[str, ClipBank]) -> None:
    """An epoch visits each training clip of each machine as often."""
    fit = CLASSIFIER.start(join_banks(banks.values()))
    assert fit.encoder.classes == (
        *(f"fan/load_{i}" for i in range(2)),
        *(f"valve/section_0{i}" for i in range(3)),
    )
    seen: list[int] = []
    batch = fit.batch
    fit.batch = lambda clips: (seen.extend(clips.tolist()), batch(clips))[1]  # type: ignore[method-assign]
    fit.step()
    assert sorted(seen) == fit.bank.table.having(Role.TRAIN).tolist()
    assert len(seen) == sum(len(bank.table.having(Role.TRAIN)) for bank in banks.values())


def test_a_clip_is_told_its_class_among_all_machines(banks: dict[str, ClipBank]) -> None:
    fit = CLASSIFIER.start(join_banks(banks.values()))
    fit.step()
    encoded = fit.encoder.encode(banks["valve"], np.array([0, 12, 24]))
    assert encoded.label is not None
    assert encoded.label[::5].tolist() == [2, 3, 4]
    assert encoded.logits.shape == (15, 5)


def test_another_machines_samples_do_change_the_encoder(banks: dict[str, ClipBank]) -> None:
    quiet = replace(banks["valve"], samples=np.asarray(banks["valve"].samples) // 2)
    one, other = (CLASSIFIER.start(join_banks([banks["fan"], valve])) for valve in (banks["valve"], quiet))
    assert one.step() != other.step()
