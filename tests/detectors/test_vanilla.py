"""Vanilla heads against loops over clips and classes, and what every head promises."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from humtune.config import Output
from humtune.detectors.classifier.adacos import AdaCosHead
from humtune.detectors.classifier.adaproj import AdaProjHead
from humtune.detectors.classifier.fit import ClassifierFit
from humtune.detectors.classifier.heads import (
    ArcFace,
    ArcFaceHead,
    CrossEntropy,
    CrossEntropyHead,
    Head,
    Variational,
    VariationalHead,
)
from humtune.detectors.classifier.multilabel import Asymmetric, AsymmetricHead, AttributeHead, Attributes
from humtune.detectors.classifier.recipe import Classifier
from humtune.detectors.detector import Detector
from humtune.errors import UsageError
from humtune.sounds.bank import ClipBank
from humtune.sounds.table import Role

K, C = 16, 4
NAMES = ("load=1,speed=3", "load=2,speed=3", "load=2,speed=4", "none")
HEADS = {
    "variational": VariationalHead(),
    "cross_entropy": CrossEntropyHead(),
    "arcface": ArcFaceHead(),
    "focal": CrossEntropyHead(gamma=2),
    "asymmetric": AsymmetricHead(),
    "attributes": AttributeHead(),
    "adacos": AdaCosHead(sub_clusters=3),
    "adaproj": AdaProjHead(dimensions=2, subspaces="trainable"),
}


def make(settings: Head) -> Variational | CrossEntropy | ArcFace | Asymmetric | Attributes:
    torch.manual_seed(1)
    return settings.build(K, NAMES, torch.Generator().manual_seed(0))


def noise() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def batch(size: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    """Features, and class weights of which every other row is mixed."""
    generator = torch.Generator().manual_seed(2)
    own = F.one_hot(torch.arange(size) % C, C).float()
    part = (torch.arange(size) % 2 * 0.3)[:, None]
    return torch.randn(size, K, generator=generator), torch.lerp(own, own.roll(1, dims=0), part)


def naive_arcface(head: ArcFace, features: torch.Tensor, target: torch.Tensor) -> float:
    """Angles by acos, classes one by one, in float64."""
    margin, scale, total = head.margin, head.scale, 0.0
    for z, weights in zip(features.double(), target.double(), strict=True):
        angles = [math.acos(float(F.cosine_similarity(z, w, dim=0))) for w in head.weight.detach().double()]
        for own, weight in enumerate(weights.tolist()):
            logits = [scale * math.cos(angle) for angle in angles]
            wide = angles[own] + margin
            fallen = math.cos(angles[own]) - margin * math.sin(margin)
            logits[own] = scale * (math.cos(wide) if wide <= math.pi else fallen)
            total += weight * (math.log(sum(map(math.exp, logits))) - logits[own])
    return total / len(features)


@pytest.mark.parametrize("margin", [0.0, 0.5, 1.5])
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_arcface_is_a_loop_over_clips_and_classes(margin: float, scale: float) -> None:
    head, (features, target) = make(ArcFaceHead(margin=margin, scale=scale)), batch()
    assert isinstance(head, ArcFace)
    with torch.no_grad():  # one clip that points away from its class, where the cosine would rise again
        features[0] = -2 * head.weight[0] + 0.05 * features[0]
    loss, logits = head.loss(features, target, noise())
    assert loss.item() == pytest.approx(naive_arcface(head, features, target), rel=1e-5)
    torch.testing.assert_close(logits, head.classify(features))


def test_arcface_without_a_margin_is_cross_entropy_of_cosines() -> None:
    head, (features, target) = make(ArcFaceHead(margin=0, scale=8)), batch()
    loss, logits = head.loss(features, target, noise())
    torch.testing.assert_close(loss, F.cross_entropy(logits, target))
    assert logits.abs().max() <= 8


def test_a_margin_costs_and_draws_a_class_together() -> None:
    features, target = batch()
    losses = [float(make(ArcFaceHead(margin=m)).loss(features, target, noise())[0]) for m in (0, 0.3, 0.6)]
    assert losses == sorted(losses)
    assert losses[0] < losses[2]


@pytest.mark.parametrize("at", ["own class", "far side"])
def test_arcface_has_finite_gradients_where_the_sine_is_zero(at: str) -> None:
    head = make(ArcFaceHead())
    assert isinstance(head, ArcFace)
    features = (head.weight[:1] * (3 if at == "own class" else -3)).detach().requires_grad_()
    loss, _ = head.loss(features, F.one_hot(torch.tensor([0]), C).float(), noise())
    loss.backward()
    assert torch.isfinite(features.grad).all()
    assert torch.isfinite(head.weight.grad).all()


def test_cross_entropy_weighs_the_classes_of_mixed_clips() -> None:
    head, (features, target) = make(CrossEntropyHead()), batch()
    loss, logits = head.loss(features, target, noise())
    wanted = -(target * logits.log_softmax(dim=1)).sum(dim=1).mean()
    torch.testing.assert_close(loss, wanted)
    torch.testing.assert_close(logits, head.classify(features))


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.5])
def test_the_focal_loss_is_a_loop_over_clips_and_classes(gamma: float) -> None:
    head, (features, target) = make(CrossEntropyHead(gamma=gamma)), batch()
    loss, logits = head.loss(features, target, noise())
    total = 0.0
    for row, weights in zip(logits.tolist(), target.tolist(), strict=True):
        p = [math.exp(x) / sum(map(math.exp, row)) for x in row]
        total -= sum(w * (1 - q) ** gamma * math.log(q) for w, q in zip(weights, p, strict=True))
    assert loss.item() == pytest.approx(total / len(target), rel=1e-5)


@pytest.mark.parametrize(
    ("positive", "negative", "shift"), [(0, 4, 0.05), (1, 2, 0.0), (0, 0, 0.0), (2, 1, 0.4)]
)
def test_the_asymmetric_loss_is_a_loop_over_clips_and_classes(
    positive: float, negative: float, shift: float
) -> None:
    settings = AsymmetricHead(gamma_positive=positive, gamma_negative=negative, shift=shift)
    head, (features, target) = make(settings), batch()
    loss, logits = head.loss(features, target, noise())
    total = 0.0
    for row, weights in zip(logits.tolist(), target.tolist(), strict=True):
        for x, y in zip(row, weights, strict=True):
            p = 1 / (1 + math.exp(-x))
            moved = max(p - shift, 0)
            total -= y * (1 - p) ** positive * math.log(p)
            total -= (1 - y) * moved**negative * math.log(1 - moved)
    assert loss.item() == pytest.approx(total / len(target), rel=1e-5)
    if positive == negative == shift == 0:
        binary = F.binary_cross_entropy_with_logits(logits, target)
        assert loss.item() == pytest.approx(C * binary.item(), rel=1e-5)


def test_an_asymmetric_loss_stays_finite_where_a_head_is_sure_and_wrong() -> None:
    head, (features, target) = make(AsymmetricHead(shift=0)), batch()
    features = (1000 * features).requires_grad_()
    loss, _ = head.loss(features, target, noise())
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(features.grad).all()


def test_the_attributes_loss_is_focal_loss_and_binary_cross_entropy_of_each_value() -> None:
    head, (features, target) = make(AttributeHead(beta_attribute=0.7, gamma=2)), batch()
    assert isinstance(head, Attributes)
    loss, logits = head.loss(features, target, noise())
    has = {"load=1": [1, 0, 0, 0], "load=2": [0, 1, 1, 0], "speed=3": [1, 1, 0, 0], "speed=4": [0, 0, 1, 0]}
    total = 0.0
    for x, weights in zip(head.to_value(features).tolist(), target.tolist(), strict=True):
        for logit, classes in zip(x, has.values(), strict=True):
            y = sum(w * h for w, h in zip(weights, classes, strict=True))
            total += math.log1p(math.exp(logit)) - y * logit
    p = logits.softmax(dim=1)
    focal = -(target * (1 - p).square() * p.log()).sum(dim=1).mean().item()
    assert loss.item() == pytest.approx(focal + 0.7 * total / (len(target) * len(has)), rel=1e-5)


def test_a_head_of_attributes_is_refused_where_classes_are_sections(bank: ClipBank) -> None:
    recipe = Classifier(head=AttributeHead(), spectrogram={"chunk_frames": 16})
    with pytest.raises(UsageError) as caught:
        recipe.check(bank.table, bank.lengths)
    assert str(caught.value) == (
        "head.kind = attributes learns attributes, but labels: auto gives classes of fan without any "
        "(section_00); set labels to attributes or both"
    )


@pytest.mark.parametrize("name", HEADS)
def test_contract_embeddings_logits_and_loss(name: str) -> None:
    head, (features, target) = make(HEADS[name]), batch()
    mean, log_variance = head.embed(features)
    assert mean.shape == (12, K)
    assert (log_variance is not None) == (Output.VARIANCE in HEADS[name].gives)
    loss, logits = head.loss(features, target, noise())
    assert loss.shape == ()
    assert logits.shape == head.classify(mean).shape == (12, C)
    loss.backward()
    assert all(p.grad is not None and p.grad.norm() > 0 for p in head.parameters())


@pytest.mark.parametrize("name", HEADS)
def test_contract_a_head_learns_to_tell_classes(name: str) -> None:
    head, (features, _) = make(HEADS[name]), batch()
    target = F.one_hot(torch.arange(12) % C, C).float()
    optimiser = torch.optim.Adam(head.parameters(), lr=0.05)
    before = float(head.loss(features, target, noise())[0])
    for _ in range(200):
        optimiser.zero_grad()
        head.loss(features, target, noise())[0].backward()
        optimiser.step()
    assert float(head.loss(features, target, noise())[0]) < before / 2
    assert (head.classify(head.embed(features)[0]).argmax(dim=1) == target.argmax(dim=1)).all()


def test_vanilla_heads_embed_with_the_backbone_alone() -> None:
    features, _ = batch()
    for name in HEADS.keys() - {"variational"}:
        assert make(HEADS[name]).embed(features)[0] is features


@pytest.mark.parametrize("name", ["cross_entropy", "arcface"])
def test_a_vanilla_detector_trains_scores_and_comes_back(
    small: Classifier, bank: ClipBank, name: str
) -> None:
    scores = ("nll", "cosine", "knn", "knn_normalised", "mahalanobis", "mahalanobis_class", "neg_logit")
    recipe = Classifier.model_validate(
        small.model_dump() | {"head": HEADS[name].model_dump(), "scores": scores}
    )
    run = recipe.start(bank)
    losses = [run.step()["loss"] for _ in range(3)]
    assert losses[2] < losses[0]
    detector = run.finish()
    clips = bank.table.having(Role.SELECT, Role.REPORT)
    encoded = detector.encode(bank, clips)
    assert encoded.log_variance is None
    found = detector.score(encoded)
    assert tuple(found) == scores[1:]
    again = Detector.from_bytes(detector.to_bytes())
    again.load_reference(detector.reference_bytes())
    for kind, values in again.score(again.encode(bank, clips)).items():
        np.testing.assert_allclose(values, found[kind], rtol=1e-6, atol=1e-6)


def test_a_clip_of_an_untrained_class_has_none(trained: ClassifierFit, bank: ClipBank) -> None:
    clips = bank.table.having(Role.SELECT)
    section = bank.table.section.copy()
    section[clips[0]] = 9
    moved = replace(bank, table=replace(bank.table, section=section))
    found = trained.encoder.encode(moved, clips[:2])
    assert found.label.tolist() == [-1] * 5 + [1] * 5
    assert found.section.tolist() == [9] * 5 + [int(bank.table.section[clips[1]])] * 5
