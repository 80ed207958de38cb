"""Schedules of a classifier's training: of the learning rate and of mixup; and its optimisers."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from humtune.detectors.classifier.fit import Training, learning_rate
from humtune.detectors.classifier.recipe import Classifier
from humtune.sounds.bank import ClipBank
from humtune.sounds.table import Role

MakeBank = Callable[..., ClipBank]


def changed(recipe: Classifier, **training: object) -> Classifier:
    return recipe.model_copy(update={"training": recipe.training.model_copy(update=training)})


def test_one_cycle_is_torchs() -> None:
    steps, epochs = 20_000, 50
    parameter = torch.nn.Parameter(torch.zeros(()))
    optimiser = torch.optim.SGD([parameter], lr=1.0)
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=0.01, total_steps=steps, pct_start=0.3, cycle_momentum=False
    )
    wanted = []
    for _ in range(steps):
        wanted.append(cycle.get_last_lr()[0])
        optimiser.step()
        if len(wanted) < steps:
            cycle.step()
    training = Training(epochs=epochs, learning_rate=0.01, schedule="one_cycle", warmup=0.3)
    found = [learning_rate(training, epochs * step / steps) for step in range(steps)]
    np.testing.assert_allclose(found, wanted, atol=0.01 * 10 / steps)
    assert max(found) == pytest.approx(0.01)
    assert found[0] == pytest.approx(0.01 / 25)


def test_in_one_cycle_the_rate_changes_from_batch_to_batch_and_in_steps_it_does_not(
    small: Classifier, bank: ClipBank
) -> None:
    for schedule, count in (("steps", 1), ("one_cycle", 2)):
        run = changed(small, schedule=schedule, batch_size=32, chunks_per_clip=2).start(bank)
        rates: list[float] = []
        run.optimiser.register_step_pre_hook(
            lambda optimiser, *_, rates=rates: rates.append(optimiser.param_groups[0]["lr"])
        )
        reported = run.step()["learning_rate"]
        visits = 2 * len(run.clips)
        assert len(rates) == -(-visits // 32) > 1
        assert rates[0] == reported
        assert rates == [learning_rate(run.recipe.training, i / len(rates)) for i in range(len(rates))]
        assert len(set(rates)) >= count
        assert (len(set(rates)) == 1) == (count == 1)


@pytest.mark.parametrize("kind", ["adam", "adamw"])
def test_the_optimiser_is_the_one_that_is_asked_for(kind: str, small: Classifier, bank: ClipBank) -> None:
    """A parameter without a gradient but for the decay: AdamW shrinks it by rate × decay, Adam by a step."""
    run = changed(small, optimiser=kind, weight_decay=0.1).start(bank)
    [weight, *_] = run.encoder.parameters()
    before = weight.detach().clone()
    for parameter in run.encoder.parameters():
        parameter.grad = torch.zeros_like(parameter)
    run.optimiser.step()
    rate = run.recipe.training.learning_rate
    wanted = before * (1 - rate * 0.1) if kind == "adamw" else before - rate * before.sign()
    torch.testing.assert_close(weight.detach(), wanted, rtol=1e-3, atol=1e-7)


def test_mixup_ends_along_a_cosine(small: Classifier, bank: ClipBank) -> None:
    run = changed(small, mixup=0.2, mixup_schedule="cosine", epochs=10).start(bank)
    target = torch.eye(4)
    inputs = (torch.arange(4.0)[:, None],)
    for done in (0, 3, 5, 10):
        run.done = done
        mixed = [run._mix(inputs, target)[1] is not target for _ in range(2000)]
        assert np.mean(mixed) == pytest.approx((1 + np.cos(np.pi * done / 10)) / 2, abs=0.04)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_share_of_the_batches_is_mixed(schedule: str, small: Classifier, bank: ClipBank) -> None:
    run = changed(small, mixup=0.2, mixup_share=0.5, mixup_schedule=schedule, epochs=10).start(bank)
    run.done = 3
    target, inputs = torch.eye(4), (torch.arange(4.0)[:, None],)
    mixed = [run._mix(inputs, target)[1] is not target for _ in range(2000)]
    falls = (1 + np.cos(np.pi * 0.3)) / 2 if schedule == "cosine" else 1
    assert np.mean(mixed) == pytest.approx(0.5 * falls, abs=0.04)


def test_where_every_batch_is_mixed_no_dice_are_thrown_for_it(small: Classifier, bank: ClipBank) -> None:
    run, other = changed(small, mixup=0.8).start(bank), np.random.default_rng(small.seed)
    run._mix((torch.tensor([0.0, 1.0]),), torch.eye(2))
    other.beta(0.8, 0.8)
    other.permutation(2)
    assert run.rng.random() == other.random()


def test_each_class_is_visited_as_often_and_each_of_its_clips_before_one_again(
    small: Classifier, make_bank: MakeBank
) -> None:
    roles = np.array([*["train"] * 7, *["select"] * 7, *["train"] * 2, *["select"] * 5])
    bank = make_bank(tuple(Role.TRAIN for _ in range(7)))
    bank = replace(bank, table=replace(bank.table, role=roles))
    run = changed(small, sampling="classes", chunks_per_clip=5).start(bank)
    visited = np.bincount(np.concatenate(run._batches()), minlength=21)
    assert visited.sum() == 5 * 9
    assert {*visited[:7]} == {3, 4}  # 23 or 22 visits of the class of seven clips
    assert visited[14:16].min() >= 11
    assert abs(int(visited[:7].sum()) - int(visited[14:16].sum())) <= 1
    assert not visited[roles == "select"].any()


def test_an_interrupted_run_goes_on_along_its_schedules(small: Classifier, bank: ClipBank) -> None:
    recipe = changed(
        small,
        epochs=3,
        schedule="one_cycle",
        optimiser="adamw",
        mixup_schedule="cosine",
        mixup_share=0.7,
        sampling="classes",
        chunks_per_clip=1,
    )
    unbroken, broken = recipe.start(bank), recipe.start(bank)
    whole = [unbroken.step() for _ in range(3)]
    assert broken.step() == whole[0]
    resumed = recipe.start(bank)
    resumed.restore(broken.state())
    assert [resumed.step() for _ in range(2)] == whole[1:]
