"""Outlier exposure: what it is trained on and towards, and what it gives."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from humtune.config import Output
from humtune.detectors.classifier import timing
from humtune.detectors.classifier.exposure import Exposure, ExposureHead
from humtune.detectors.classifier.fit import ClassifierFit
from humtune.detectors.classifier.heads import CrossEntropyHead
from humtune.detectors.classifier.recipe import Classifier
from humtune.errors import UsageError
from humtune.sounds.bank import ClipBank
from humtune.sounds.joined import expose
from humtune.sounds.table import Role
from humtune.testing.recordings import small_bank

BATCH = 8


def recipe(*, training: dict[str, Any] | None = None, **head: Any) -> Classifier:
    return Classifier.model_validate(
        {
            "spectrogram": {"n_fft": 256, "chunk_frames": 64, "n_mels": 32},
            "backbone": {"width": 0.125, "embedding": 16},
            "head": {"kind": "exposure", **head},
            "training": {"epochs": 2, "batch_size": BATCH, "chunks_per_clip": 2} | (training or {}),
            "scores": ["own", "knn"],
        }
    )


@pytest.fixture(scope="module")
def bank() -> ClipBank:
    return expose(small_bank("fan"), [small_bank("valve", seed=1), small_bank("pump", seed=2)])


def sigmoid(x: float) -> float:
    return 1 / (1 + float(np.exp(-x)))


def naive_loss(head: Exposure, features: torch.Tensor, target: torch.Tensor, beta: float) -> float:
    """A chunk and a class after the other."""
    weight, offset = head.to_class.weight.tolist(), head.to_class.bias.tolist()
    scale, bias = head.affine.tolist()
    machine, classes, clips = 0.0, 0.0, 0.0
    for e, wanted in zip(features.tolist(), target.tolist(), strict=True):
        own = sum(wanted)
        p = sigmoid(scale * sum(x * x for x in e) / len(e) + bias)
        machine -= own * np.log(p) + (1 - own) * np.log(1 - p)
        if own == 0:
            continue
        clips += own
        for w, b, t in zip(weight, offset, wanted, strict=True):
            p = sigmoid(sum(x * y for x, y in zip(w, e, strict=True)) + b)
            classes -= own * (t / own * np.log(p) + (1 - t / own) * np.log(1 - p)) / len(wanted)
    return machine / len(features) + beta * classes / clips


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("beta", [0.0, 10.0])
def test_the_loss_is_that_of_a_loop(mixed: bool, beta: float) -> None:
    torch.manual_seed(0)
    head = Exposure(ExposureHead(beta_class=beta), 5, 3)
    with torch.no_grad():
        head.affine.copy_(torch.tensor([0.7, -0.4]))
    features = torch.randn(8, 5)
    target = torch.zeros(8, 3)
    target[torch.arange(4), torch.tensor([0, 1, 2, 1])] = 1
    if mixed:
        target = torch.lerp(target[torch.tensor([5, 0, 1, 7, 3, 2, 4, 6])], target, 0.3)
        assert ((target.sum(dim=1) > 0) & (target.sum(dim=1) < 1)).any()
    with torch.no_grad():
        found, logits = head.loss(features, target, torch.Generator())
    assert float(found) == pytest.approx(naive_loss(head, features, target, beta), rel=1e-5)
    torch.testing.assert_close(logits, head.to_class(features))


def test_the_classes_learn_nothing_from_other_machines_clips() -> None:
    torch.manual_seed(0)
    head = Exposure(ExposureHead(), 5, 3)
    features = torch.randn(6, 5, requires_grad=True)
    target = torch.zeros(6, 3)
    target[:3] = torch.eye(3)

    def gradients(of: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        loss, _ = head.loss(of, target, torch.Generator())
        [weight, found] = torch.autograd.grad(loss, [head.to_class.weight, features])
        return weight, found

    weight, found = gradients(features)
    others = torch.cat([features[:3], 3 * features[3:]])
    changed, _ = gradients(others)
    torch.testing.assert_close(changed, weight)
    assert found[:3].abs().sum() > 0
    scale, _ = head.affine  # of another machine's clip there is the gradient of its norm alone
    p = head.machine(features[3:]).sigmoid()[:, None]
    torch.testing.assert_close(found[3:], p * scale * 2 * features[3:] / 5 / 6)


def test_half_a_batch_is_of_other_machines_each_clip_once_before_one_comes_again(bank: ClipBank) -> None:
    run = recipe().start(bank)
    assert set(bank.table.role[run.others]) == {"negative"}
    assert len(run.clips) == 18
    assert len(run.others) == 36
    batches = run._batches()
    own, others = (np.concatenate([b[np.isin(b, of)] for b in batches]) for of in (run.clips, run.others))
    assert sorted(own) == sorted(np.repeat(run.clips, 2))
    assert [(len(b), np.isin(b, run.clips).sum()) for b in batches] == [(BATCH, BATCH // 2)] * 9
    assert any(np.isin(b[: BATCH // 2], run.clips).sum() not in (0, BATCH // 2) for b in batches)  # mixed up
    assert sorted(others) == sorted(run.others)
    again = recipe().start(bank)._batches()
    np.testing.assert_array_equal(np.concatenate(batches), np.concatenate(again))
    assert not np.array_equal(np.concatenate(batches), np.concatenate(run._batches()))


@pytest.mark.parametrize(
    ("share", "size", "wanted"),
    [
        (0.25, 8, [(6, 2)] * 6),
        (0.75, 8, [(2, 6)] * 18),
        (0.5, 16, [(8, 8)] * 4 + [(4, 4)]),
        (0.01, 8, [(7, 1)] * 5 + [(1, 1)]),
    ],
)
def test_the_share_of_others_is_a_setting(
    share: float, size: int, wanted: list[tuple[int, int]], bank: ClipBank
) -> None:
    run = recipe(negatives=share, training={"batch_size": size}).start(bank)
    found = [(np.isin(b, run.clips).sum(), np.isin(b, run.others).sum()) for b in run._batches()]
    assert found == wanted


def test_a_batch_has_the_targets_of_both(bank: ClipBank) -> None:
    run = recipe().start(bank)
    target = run._targets(np.concatenate([run.clips, run.others]))
    assert target.shape == (54, 3)
    np.testing.assert_array_equal(target[:18].argmax(dim=1).numpy(), bank.table.section[run.clips])
    assert target[:18].sum(dim=1).eq(1).all()
    assert target[18:].eq(0).all()


def test_training_tells_the_machine_from_others_and_others_alone_change_it(bank: ClipBank) -> None:
    training = {"epochs": 8, "learning_rate": 0.01, "mixup": 0, "mask_time": 0, "mask_frequency": 0}
    loud = bank.samples.parts[1].astype(np.int32) * 8
    other = replace(
        small_bank("valve", seed=1), samples=np.clip(loud, -32_768, 32_767).astype(np.int16), hash="loud"
    )
    exposed = expose(small_bank("fan"), [other])
    run = recipe(training=training).start(exposed)
    losses = [run.step()["loss"] for _ in range(8)]
    assert losses[-1] < losses[0] / 2
    detector = run.finish()
    assert detector.machine == "fan"
    own = detector.score(detector.encode(exposed, exposed.table.having(Role.HELD_OUT)))["own"]
    strange = detector.score(detector.encode(other, other.table.having(Role.HELD_OUT)))["own"]
    assert own.max() < strange.min()
    quiet = recipe(training=training).start(bank)
    assert quiet.step()["loss"] != losses[0]


def test_the_reference_is_the_machines_own(bank: ClipBank) -> None:
    detector = recipe(training={"epochs": 1}).start(bank).run()
    assert detector.reference is not None
    clips = np.unique(detector.reference.clip)
    np.testing.assert_array_equal(clips, small_bank("fan").table.having(Role.TRAIN))


def test_others_make_neither_front_end_nor_classes(bank: ClipBank) -> None:
    run, alone = (
        recipe().start(bank),
        recipe().start(expose(small_bank("fan"), [small_bank("valve", seed=3)])),
    )
    assert run.encoder.classes == ("section_00", "section_01", "section_02")
    torch.testing.assert_close(run.encoder.frontend.mean, alone.encoder.frontend.mean)


def test_the_embedding_may_hold_all_that_is_made_of_it(bank: ClipBank) -> None:
    plain, whole = (recipe(features=f).start(bank) for f in ("embedding", "all"))
    clips = bank.table.having(Role.SELECT)
    one, other = (run.encoder.encode(bank, clips) for run in (plain, whole))
    e, vector = one.embedding, other.embedding
    assert vector.shape == (len(e), 1 + 1 + 3 + 16)
    torch.testing.assert_close(vector[:, 0], -other.score)
    torch.testing.assert_close(vector[:, 1], torch.linalg.vector_norm(e, dim=1))
    torch.testing.assert_close(vector[:, 2:5], one.logits)
    torch.testing.assert_close(vector[:, 5:], e)
    torch.testing.assert_close(other.logits, one.logits)
    torch.testing.assert_close(one.score, 1 - e.square().mean(dim=1))  # before training: a = 1, b = -1
    assert plain.recipe.gives == {Output.EMBEDDING, Output.LOGITS, Output.SCORE}


def test_accuracy_is_of_the_machines_own_clips(bank: ClipBank, monkeypatch: pytest.MonkeyPatch) -> None:
    run = recipe(training={"mixup": 0}).start(bank)

    def right(features: torch.Tensor, target: torch.Tensor, noise: Any) -> tuple[torch.Tensor, torch.Tensor]:
        return features.sum() * 0, target

    monkeypatch.setattr(run.encoder.head, "loss", right)
    assert run.step()["accuracy"] == 1.0


def test_micro_batches_have_the_whole_batchs_loss(bank: ClipBank) -> None:
    run = recipe(training={"mixup": 0}).start(bank)
    features = torch.randn(8, 16, generator=torch.Generator().manual_seed(0))
    target = run._targets(np.array([run.clips[0], run.others[0], *run.clips[1:4], *run.others[1:4]]))
    loss = run.encoder.head.loss
    with torch.no_grad():
        whole, _ = loss(features, target, run.noise)
        parts = [loss(f, t, run.noise)[0] for f, t in zip(features.split(4), target.split(4), strict=True)]
    assert float(sum(parts) / 2) == pytest.approx(float(whole), rel=1e-5)


def test_one_section_will_do(bank: ClipBank) -> None:
    exposed = expose(small_bank("fan", sections=1, attributes=False), [small_bank("valve")])
    trial = recipe()
    trial.check(exposed.table, exposed.lengths)
    assert np.isfinite(trial.start(exposed).step()["loss"])


def test_without_others_there_is_nothing_to_learn_from() -> None:
    with pytest.raises(
        UsageError, match="fan: an exposure head learns from other machines' clips, there are none"
    ):
        recipe().start(small_bank("fan"))


@pytest.mark.parametrize("share", [0.5, 0.75])
def test_an_epoch_costs_what_all_its_chunks_do(
    share: float, bank: ClipBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "batch_seconds", lambda run, clips: float(len(clips)))  # a second a chunk
    trial = recipe(negatives=share)
    found = trial.estimate(bank, device="cpu", bf16=False, compiled=False, measured=0)
    assert found.step_seconds == sum(map(len, trial.start(bank)._batches()))
    alone = trial.model_copy(update={"head": CrossEntropyHead()}).estimate(
        small_bank("fan"), device="cpu", bf16=False, compiled=False, measured=0
    )
    trained = 2 * (found.step_seconds - alone.step_seconds)  # epochs × what the others' chunks add
    assert found.trial_seconds - alone.trial_seconds == pytest.approx(trained)


def test_a_resumed_run_ends_as_an_unbroken_one(bank: ClipBank) -> None:
    trial = recipe(training={"mixup": 0.2, "mixup_schedule": "cosine", "epochs": 3})
    unbroken, broken = trial.start(bank), trial.start(bank)
    whole = [unbroken.step() for _ in range(3)]
    assert broken.step() == whole[0]
    resumed = trial.start(bank)
    assert isinstance(resumed, ClassifierFit)
    resumed.restore(broken.state())
    assert [resumed.step() for _ in range(2)] == whole[1:]
