"""AdaCos, its sub-clusters and AdaProj against loops over chunks, classes and centres."""

import math
from statistics import median_low
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from humtune.detectors.classifier.adacos import AdaCos, AdaCosHead, Angles, first_scale
from humtune.detectors.classifier.adaproj import AdaProj, AdaProjHead
from humtune.detectors.classifier.heads import Head
from humtune.detectors.classifier.recipe import Classifier
from humtune.errors import UsageError
from humtune.testing.recordings import small_bank

K, C = 16, 4


def make(settings: Head) -> Any:
    return settings.build(K, [f"class_{i}" for i in range(C)], torch.Generator().manual_seed(0))


def batch(size: int = 7, *, mixed: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
    """Features, and class weights of which every other row is mixed."""
    own = F.one_hot(torch.arange(size) % C, C).float()
    part = (torch.arange(size) % 2 * 0.3 * mixed)[:, None]
    features = torch.randn(size, K, generator=torch.Generator().manual_seed(2))
    return features, torch.lerp(own, own.roll(1, dims=0), part)


def loss_of(head: Angles, features: torch.Tensor, target: torch.Tensor) -> tuple[float, torch.Tensor]:
    loss, logits = head.loss(features, target, torch.Generator())
    return loss.item(), logits


def naive_loss(cosines: list[list[list[float]]], target: list[list[float]], scale: float) -> float:
    """Probabilities of all centres by one softmax, added up by class."""
    total = 0.0
    for of_chunk, weights in zip(cosines, target, strict=True):
        powers = [[math.exp(scale * cosine) for cosine in of_class] for of_class in of_chunk]
        everything = sum(map(sum, powers))
        total -= sum(w * math.log(sum(p) / everything) for w, p in zip(weights, powers, strict=True))
    return total / len(target)


def naive_scale(cosines: list[list[list[float]]], target: list[list[float]], scale: float) -> float:
    """The adaptive update, a chunk and a centre after the other."""
    sums, angles = [], []
    for of_chunk, weights in zip(cosines, target, strict=True):
        counts = [1 - w if len(of_chunk[0]) == 1 else 1.0 for w in weights]
        sums.append(sum(n * math.exp(scale * c) for n, of in zip(counts, of_chunk, strict=True) for c in of))
        angles.append(sum(w * math.acos(max(of)) for w, of in zip(weights, of_chunk, strict=True)))
    return math.log(sum(sums) / len(sums)) / math.cos(min(math.pi / 4, median_low(angles)))


def plain_cosines(head: AdaCos, features: torch.Tensor) -> list[list[list[float]]]:
    return [
        [[float(F.cosine_similarity(z, c, dim=0)) for c in of_class] for of_class in head.centres.detach()]
        for z in features
    ]


@pytest.mark.parametrize(
    ("classes", "sub_clusters", "scale"),
    [(10, 1, 3.107345), (10_575, 1, 13.104320), (42, 16, 9.204790), (2, 2, 1.553673)],
)
def test_the_fixed_scale_is_the_published_one(classes: int, sub_clusters: int, scale: float) -> None:
    assert first_scale(classes * sub_clusters) == pytest.approx(scale, rel=1e-6)


def test_of_two_centres_there_still_is_a_scale_to_learn_by() -> None:
    assert first_scale(2) > 0


@pytest.mark.parametrize("sub_clusters", [1, 3])
@pytest.mark.parametrize("centres", ["trainable", "fixed"])
def test_the_loss_is_a_loop_over_chunks_classes_and_centres(sub_clusters: int, centres: str) -> None:
    head, (features, target) = make(AdaCosHead(sub_clusters=sub_clusters, centres=centres)), batch()
    loss, logits = loss_of(head, features, target)
    scale = math.sqrt(2) * math.log(C * sub_clusters - 1)
    cosines = plain_cosines(head, features)
    assert loss == pytest.approx(naive_loss(cosines, target.tolist(), scale), rel=1e-5)
    torch.testing.assert_close(logits, head.classify(features))


@pytest.mark.parametrize("sub_clusters", [1, 3])
@pytest.mark.parametrize("mixed", [True, False])
def test_the_adaptive_scale_is_a_loop_over_chunks_and_centres(sub_clusters: int, mixed: bool) -> None:
    head = make(AdaCosHead(sub_clusters=sub_clusters, scale="adaptive"))
    scale = first_scale(C * sub_clusters)
    for seed in range(3):
        features, target = batch(7 + seed, mixed=mixed)
        with torch.no_grad():  # one that lies near its class, so that the angle's bound isn't all there is
            features += 2 * target @ head.centres[:, 0]
        loss, _ = loss_of(head, features, target)
        cosines = plain_cosines(head, features)
        scale = naive_scale(cosines, target.tolist(), scale)
        assert head.scale.item() == pytest.approx(scale, rel=1e-4)
        assert loss == pytest.approx(naive_loss(cosines, target.tolist(), scale), rel=1e-4)


def test_the_closer_the_chunks_lie_to_their_class_the_smaller_is_the_adaptive_scale() -> None:
    scales = []
    for near in (0, 100):
        head, (features, target) = make(AdaCosHead(sub_clusters=1, scale="adaptive")), batch(mixed=False)
        loss_of(head, features + near * target @ head.centres[:, 0].detach(), target)
        scales.append(head.scale.item())
    assert scales[0] > 1.2 * scales[1]


@pytest.mark.parametrize("dimensions", [1, 5])
def test_adaproj_is_a_loop_over_projections_by_least_squares(dimensions: int) -> None:
    head, (features, target) = make(AdaProjHead(dimensions=dimensions, scale="fixed")), batch()
    with torch.no_grad():  # directions of any length and angle span the same as orthonormal ones
        head.directions @= torch.randn(dimensions, dimensions, generator=torch.Generator().manual_seed(1))
    cosines = []
    for z in features.double().numpy():
        nearest = [d @ np.linalg.lstsq(d, z, rcond=None)[0] for d in head.directions.double().numpy()]
        cosines.append([[float(z @ p / np.linalg.norm(z) / np.linalg.norm(p))] for p in nearest])
    loss, logits = loss_of(head, features, target)
    assert loss == pytest.approx(
        naive_loss(cosines, target.tolist(), math.sqrt(2) * math.log(C - 1)), rel=1e-5
    )
    torch.testing.assert_close(logits, head.classify(features))


def test_wherever_in_its_classs_subspace_a_chunk_lies_it_costs_the_same() -> None:
    head = make(AdaProjHead(dimensions=3, scale="fixed"))
    inside = torch.randn(5, 3) @ head.directions[1].T
    torch.testing.assert_close(head.cosines(inside)[:, 1, 0], torch.ones(5))
    assert head.cosines(inside)[:, 0, 0].max() < 0.99


@pytest.mark.parametrize(
    ("trainable", "fixed"),
    [
        (AdaCosHead(), AdaCosHead(centres="fixed")),
        (AdaProjHead(dimensions=4, subspaces="trainable"), AdaProjHead(dimensions=4)),
    ],
)
def test_what_is_fixed_is_kept_and_not_trained(trainable: Head, fixed: Head) -> None:
    trained, kept = (make(settings) for settings in (trainable, fixed))
    [name] = dict(trained.named_parameters())
    assert not list(kept.parameters())
    assert torch.equal(kept.state_dict()[name], trained.state_dict()[name])
    features, target = batch()
    trained.loss(features, target, torch.Generator())[0].backward()
    assert trained.get_parameter(name).grad.norm() > 0


@pytest.mark.parametrize("settings", [AdaCosHead(), AdaProjHead(dimensions=4, subspaces="trainable")])
@pytest.mark.parametrize("at", ["nowhere", "its class"])
def test_gradients_are_finite_at_the_origin_and_at_a_class(settings: Head, at: str) -> None:
    head = make(settings)
    place = head.centres[0, :1] if isinstance(head, AdaCos) else head.directions[0, :, :1].T
    features = (0 * place if at == "nowhere" else place).detach().clone().requires_grad_()
    loss, _ = head.loss(features, F.one_hot(torch.tensor([0]), C).float(), torch.Generator())
    loss.backward()
    assert torch.isfinite(features.grad).all()
    assert all(torch.isfinite(p.grad).all() for p in head.parameters())


def test_a_subspace_that_is_all_there_is_is_refused() -> None:
    bank = small_bank()
    recipe = Classifier(
        backbone={"embedding": 16}, head=AdaProjHead(dimensions=16), spectrogram={"chunk_frames": 16}
    )
    with pytest.raises(UsageError) as caught:
        recipe.check(bank.table, bank.lengths)
    assert str(caught.value) == (
        "backbone.embedding = 16 makes embeddings of 16 numbers, the adaproj head as it is set needs 17; "
        "set it to 17 or more"
    )
    assert isinstance(make(AdaProjHead(dimensions=15)), AdaProj)
