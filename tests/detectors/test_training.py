"""ClassifierFit: it learns, goes on where it stopped, and depends on its recipe and clips alone."""

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from humtune.config import Acceleration
from humtune.detectors.classifier.fit import ClassifierFit, Training, learning_rate
from humtune.detectors.classifier.heads import CrossEntropyHead
from humtune.detectors.classifier.recipe import Classifier
from humtune.detectors.classifier.tdnn import XVector
from humtune.detectors.frontends import Spectrogram
from humtune.errors import HumtuneError, UsageError
from humtune.sounds.bank import ClipBank
from humtune.sounds.classes import class_labels
from humtune.sounds.table import Role

MakeBank = Callable[..., ClipBank]


def changed(recipe: Classifier, *, seed: int | None = None, **training: Any) -> Classifier:
    """The trial with other training settings or another seed."""
    update: dict[str, Any] = {"training": recipe.training.model_copy(update=training)}
    return recipe.model_copy(update=update | ({} if seed is None else {"seed": seed}))


def same(one: Any, other: Any) -> bool:
    """Equal to the last bit, through dictionaries and lists."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def inside(run: ClassifierFit) -> dict[str, Any]:
    """All that the next epoch depends on."""
    return {
        "detector": run.encoder.state_dict(),
        "optimiser": run.optimiser.state_dict(),
        "rng": run.rng.bit_generator.state,
        "noise": run.noise.get_state(),
        "epochs_done": run.done,
    }


@contextmanager
def inputs_of(run: ClassifierFit) -> Iterator[list[torch.Tensor]]:
    """What the network sees."""
    seen: list[torch.Tensor] = []
    hook = run.encoder.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    yield seen
    hook.remove()


def accuracy(run: ClassifierFit, bank: ClipBank, role: Role) -> float:
    """Share of a role's chunks whose class the detector tells."""
    _, labels = class_labels(bank.table, run.recipe.labels)
    encoded = run.encoder.encode(bank, bank.table.having(role))
    said = encoded.logits.argmax(dim=1)
    return float((said == torch.from_numpy(labels)[encoded.clip]).double().mean())


def test_the_loss_falls_and_unheard_clips_are_told_apart(small: Classifier, bank: ClipBank) -> None:
    run = changed(small, mixup=0.0).start(bank)
    metrics = [run.step() for _ in range(3)]
    losses = [m["loss"] for m in metrics]
    assert losses[2] < losses[1] < losses[0]
    assert metrics[2]["accuracy"] > 0.6 > metrics[0]["accuracy"]
    assert accuracy(run, bank, Role.HELD_OUT) > 0.9  # chance is 1/3


def test_with_mixup_and_masks_unheard_clips_are_told_apart_too(
    trained: ClassifierFit, bank: ClipBank
) -> None:
    assert accuracy(trained, bank, Role.HELD_OUT) > 0.9


def test_embeddings_move_towards_their_class_mean(trained: ClassifierFit, bank: ClipBank) -> None:
    _, labels = class_labels(bank.table, "section")
    encoded = trained.encoder.encode(bank, bank.table.having(Role.HELD_OUT))
    means = trained.encoder.head.class_means
    distances = torch.cdist(encoded.mean, means)
    assert (distances.argmin(dim=1) == torch.from_numpy(labels)[encoded.clip]).double().mean() > 0.9


def test_scoring_between_two_epochs_changes_nothing(small: Classifier, bank: ClipBank) -> None:
    plain, watched = small.start(bank), small.start(bank)
    for _ in range(2):
        plain.step()
        watched.step()
        detector = watched.finish()
        detector.score(detector.encode(bank, bank.table.having(Role.SELECT)))
    assert same(inside(plain), inside(watched))


@pytest.mark.parametrize("done", [1, 2])
def test_an_interrupted_run_equals_an_unbroken_one_to_the_last_bit(
    small: Classifier, bank: ClipBank, done: int
) -> None:
    unbroken, broken = small.start(bank), small.start(bank)
    wanted = [unbroken.step() for _ in range(3)]
    for _ in range(done):
        broken.step()
    state = broken.state()
    broken.step()  # what a kill undoes
    resumed = small.start(bank)
    resumed.restore(state)
    assert resumed.done == done
    assert [resumed.step() for _ in range(3 - done)] == wanted[done:]
    assert same(inside(resumed), inside(unbroken))
    clips = bank.table.having(Role.SELECT, Role.REPORT)
    scores = [run.finish().score(run.encoder.encode(bank, clips)) for run in (resumed, unbroken)]
    assert all(np.array_equal(scores[0][name], scores[1][name]) for name in small.scores)


def test_restoring_keeps_the_networks_memory_layout(small: Classifier, bank: ClipBank) -> None:
    run, resumed = small.start(bank), small.start(bank)
    run.step()
    resumed.restore(run.state())
    strides = [[p.stride() for p in r.encoder.backbone.parameters()] for r in (run, resumed)]
    assert strides[0] == strides[1]


def test_a_damaged_state_is_refused_in_one_sentence(small: Classifier, bank: ClipBank) -> None:
    run = small.start(bank)
    state = run.state()
    for bad in (b"", b"not a checkpoint", state[: len(state) // 2]):
        with pytest.raises(HumtuneError, match=r"this checkpoint \(\d+ bytes\) is damaged"):
            run.restore(bad)


def test_a_run_makes_the_steps_that_are_left(small: Classifier, bank: ClipBank) -> None:
    run = small.start(bank)
    run.step()
    detector = run.run()
    assert run.done == 3
    assert detector.reference is not None
    assert set(detector.reference.clip.tolist()) == set(bank.table.having(Role.TRAIN).tolist())


def test_the_same_seed_gives_the_same_detector_whatever_the_global_generators(
    small: Classifier, bank: ClipBank
) -> None:
    runs = []
    for world in (1, 2):
        torch.manual_seed(world)
        random.seed(world)
        runs.append(small.start(bank))
        runs[-1].step()
    assert same(inside(runs[0]), inside(runs[1]))


def test_another_seed_gives_another_detector(small: Classifier, bank: ClipBank) -> None:
    one, other = (changed(small, seed=seed).start(bank) for seed in (0, 1))
    assert not torch.equal(one.encoder.head.class_means, other.encoder.head.class_means)
    assert not torch.equal(one.encoder.head.to_mean.weight, other.encoder.head.to_mean.weight)
    assert one.step() != other.step()


def test_training_leaves_the_global_generators_alone(small: Classifier, bank: ClipBank) -> None:
    before = torch.random.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    run = changed(small, epochs=1).start(bank)
    run.run().encode(bank, run.clips)
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert np.array_equal(np.random.get_state()[1], before[2])  # noqa: NPY002


def test_the_papers_schedule() -> None:
    rates = [learning_rate(Training(), epoch) for epoch in range(50)]
    np.testing.assert_allclose(rates[:10], [1e-4 * n for n in range(1, 11)])
    np.testing.assert_allclose(rates[10:25], 1e-3)
    np.testing.assert_allclose(rates[25:40], 2e-4)
    np.testing.assert_allclose(rates[40:], 4e-5)


@pytest.mark.parametrize("epochs", [5, 10, 15, 20, 30, 35, 45, 100, 200])
def test_a_schedule_of_any_length_keeps_its_shape(epochs: int) -> None:
    training = Training(epochs=epochs)
    rates = [learning_rate(training, epoch) for epoch in range(epochs)]
    full = [i for i, rate in enumerate(rates) if np.isclose(rate, 1e-3)]
    assert full == list(range(epochs // 5 - 1, -(-epochs // 2)))
    assert np.isclose(rates, 4e-5).sum() == epochs // 5


def test_a_single_epoch_has_the_full_rate() -> None:
    assert learning_rate(Training(epochs=1), 0) == pytest.approx(1e-3)


def test_an_epoch_trains_at_the_rate_that_it_reports(small: Classifier, bank: ClipBank) -> None:
    run = changed(small, epochs=10).start(bank)
    for epoch in range(3):
        reported = run.step()["learning_rate"]
        assert reported == learning_rate(run.recipe.training, epoch)
        assert [group["lr"] for group in run.optimiser.param_groups] == [reported]


def test_an_epoch_visits_every_training_clip_chunks_per_clip_times(
    small: Classifier, bank: ClipBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = changed(small, chunks_per_clip=3, batch_size=16).start(bank)
    visits: list[np.ndarray] = []
    batch = run.batch
    monkeypatch.setattr(run, "batch", lambda clips: visits.append(clips) or batch(clips))
    for _ in range(2):
        run.step()
    assert [len(v) for v in visits] == [16, 16, 16, 16, 8] * 2
    counts = np.bincount(np.concatenate(visits), minlength=len(bank.table))
    assert (counts[run.clips] == 6).all()
    assert counts.sum() == 6 * len(run.clips)
    assert not np.array_equal(visits[0], visits[5])  # another order each epoch


def test_each_visit_takes_another_chunk(small: Classifier, bank: ClipBank) -> None:
    run = changed(small, mixup=0.0, mask_time=0.0, mask_frequency=0.0).start(bank)
    with inputs_of(run) as seen:
        for _ in range(4):
            run.batch(run.clips[:2])
    assert all(not torch.equal(seen[i], seen[j]) for i in range(4) for j in range(i))


def test_a_last_batch_of_one_chunk_is_skipped(
    small: Classifier, make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = make_bank((*[Role.TRAIN] * 9, Role.HELD_OUT, Role.SELECT), sections=2)
    run = changed(small, batch_size=17, chunks_per_clip=1).start(bank)
    assert len(run.clips) == 18
    sizes: list[int] = []
    batch = run.batch
    monkeypatch.setattr(run, "batch", lambda clips: sizes.append(len(clips)) or batch(clips))
    assert np.isfinite(run.step()["loss"])
    assert sizes == [17]


def test_a_loss_that_is_not_a_number_fails_the_run(small: Classifier, bank: ClipBank) -> None:
    run = small.start(bank)
    with torch.no_grad():
        run.encoder.head.to_mean.bias[0] = torch.nan
    with pytest.raises(HumtuneError, match="loss became nan in epoch 1"):
        run.step()


def test_clips_that_do_not_train_are_never_heard(small: Classifier, bank: ClipBank) -> None:
    poisoned = bank.samples.copy()
    for clip in bank.table.having(Role.HELD_OUT, Role.SELECT, Role.REPORT):
        poisoned[bank.offsets[clip] : bank.offsets[clip + 1]] = 32_767
    runs = [changed(small, epochs=2).start(b) for b in (bank, replace(bank, samples=poisoned))]
    detectors = [run.run() for run in runs]
    assert same(inside(runs[0]), inside(runs[1]))
    assert torch.equal(detectors[0].reference.mean, detectors[1].reference.mean)


def test_training_clips_make_the_standard(small: Classifier, bank: ClipBank) -> None:
    run = changed(small, mixup=0.0, mask_time=0.0, mask_frequency=0.0).start(bank)
    with inputs_of(run) as seen:
        run.step()
    rows = torch.cat(seen).transpose(0, 2).flatten(1)
    filters = run.encoder.frontend.mel.sum(dim=0)
    torch.testing.assert_close(rows.mean(dim=1), torch.zeros(64), rtol=0, atol=0.1)
    torch.testing.assert_close(rows.std(dim=1), (filters > 0).float(), rtol=0, atol=0.1)


@pytest.mark.parametrize("setting", ["mixup", "mask_time", "mask_frequency"])
def test_each_augmentation_can_be_off(small: Classifier, bank: ClipBank, setting: str) -> None:
    assert np.isfinite(changed(small, **{setting: 0.0}).start(bank).step()["loss"])


def test_without_augmentation_the_network_sees_the_front_ends_spectrograms(
    small: Classifier, bank: ClipBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = changed(small, mixup=0.0, mask_time=0.0, mask_frequency=0.0).start(bank)
    made: list[torch.Tensor] = []
    run.encoder.frontend.register_forward_hook(lambda _, __, outputs: made.append(outputs[0].clone()))
    with inputs_of(run) as seen:
        run.batch(run.clips)
    assert torch.equal(seen[0], made[0])


@pytest.mark.parametrize(("setting", "axis"), [("mask_frequency", 2), ("mask_time", 3)])
def test_masks_are_one_band_a_spectrogram_and_no_wider_than_their_share(
    small: Classifier, bank: ClipBank, setting: str, axis: int
) -> None:
    linear = small.model_copy(update={"spectrogram": Spectrogram(n_fft=126, chunk_frames=64, n_mels=None)})
    shares = {"mask_time": 0.0, "mask_frequency": 0.0} | {setting: 0.5}
    run = changed(linear, mixup=0.0, **shares).start(bank)  # 64×64 spectrograms without silent rows
    with inputs_of(run) as seen:
        for _ in range(5):
            run.batch(run.clips)
    hidden = (torch.cat(seen)[:, 0] == 0).all(dim=2 if axis == 2 else 1)  # [spectrograms, size]
    widths = hidden.sum(dim=1)
    edges = torch.nn.functional.pad(hidden.int(), (1, 1)).diff(dim=1).abs().sum(dim=1)
    assert set(edges.tolist()) <= {0, 2}  # one band, or none
    assert 25 < widths.max() <= 32
    assert widths.min() < 8
    assert hidden.any(dim=0).all()  # a band may lie anywhere
    assert widths.unique().numel() > 10  # and has a width of its own


def test_mixup_mixes_spectrograms_and_labels_alike(small: Classifier, bank: ClipBank) -> None:
    run = changed(small, mixup=0.8).start(bank)
    identity = torch.eye(12)
    shares = []
    for _ in range(200):
        (spectrogram,), target = run._mix((identity.view(12, 1, 12, 1),), identity)
        torch.testing.assert_close(spectrogram.view(12, 12), target)
        torch.testing.assert_close(target.sum(dim=1), torch.ones(12))
        assert ((target > 0).sum(dim=1) <= 2).all()
        shares += target.diagonal()[target.diagonal() < 1].tolist()
    assert np.mean(shares) == pytest.approx(0.5, abs=0.08)  # Beta(α, α)
    assert np.var(shares) == pytest.approx(1 / (4 * (2 * 0.8 + 1)), rel=0.25)


def test_a_clip_shorter_than_a_chunk_is_refused_with_both_lengths(
    small: Classifier, make_bank: MakeBank
) -> None:
    short = make_bank(seconds=0.3)
    with pytest.raises(HumtuneError, match=r"fan: its shortest clip has (3|4)\d frames.*not 64"):
        small.start(short)


def test_a_single_class_is_refused(small: Classifier, make_bank: MakeBank) -> None:
    with pytest.raises(UsageError, match="classifier needs two"):
        small.start(make_bank(sections=1))


def test_a_clip_as_long_as_a_chunk_will_do(small: Classifier, make_bank: MakeBank) -> None:
    whole = make_bank()
    least = (small.spectrogram.chunk_frames - 1) * small.spectrogram.hop_samples
    clips = [whole.clip(i)[:least] for i in range(len(whole.table))]
    offsets = np.arange(len(clips) + 1, dtype=np.int64) * least
    bank = replace(whole, samples=np.concatenate(clips), offsets=offsets)
    assert small.spectrogram.frames(least) == small.spectrogram.chunk_frames
    run = changed(small, epochs=1).start(bank)
    scores = run.run().score(run.encoder.encode(bank, run.clips))
    assert all(np.isfinite(vector).all() for vector in scores.values())


# --- a memory that doesn't hold a batch


def with_room_for(chunks: int, run: ClassifierFit) -> list[int]:
    """Have the network run out of memory above so many chunks; how many it gets, each time."""
    sizes: list[int] = []

    def look(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        sizes.append(len(inputs[0]))
        if sizes[-1] > chunks:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    run.encoder.backbone.register_forward_pre_hook(look)
    return sizes


def test_a_batch_that_memory_does_not_hold_is_halved_until_it_does(small: Classifier, bank: ClipBank) -> None:
    run = small.start(bank)
    sizes = with_room_for(3, run)
    run.batch(run.clips[:8])
    assert sizes == [8, 4, 2, 2, 2, 2]
    run.batch(run.clips[:8])
    assert sizes[6:] == [2, 2, 2, 2]  # not tried again
    assert np.isfinite(run.step()["loss"])


def test_micro_batches_give_the_batchs_gradients_and_figures(small: Classifier, bank: ClipBank) -> None:
    plain = small.model_copy(update={"head": CrossEntropyHead(), "scores": ("cosine",)})  # no noise
    whole, parted = plain.start(bank), plain.start(bank)
    sizes = with_room_for(3, parted)
    told = []
    for run in (whole, parted):
        run.encoder.backbone.eval()  # batch norm's figures don't depend on the batch
        told.append(run.batch(run.clips[:7]))
    assert sizes == [7, 4, 3, 2, 2]  # as equal as they can be
    torch.testing.assert_close(told[1], told[0])
    for one, other in zip(whole.encoder.parameters(), parted.encoder.parameters(), strict=True):
        torch.testing.assert_close(other.grad, one.grad, rtol=1e-4, atol=1e-6)


def test_no_micro_batch_is_of_a_single_chunk(small: Classifier, bank: ClipBank) -> None:
    run = changed(small, batch_size=7, chunks_per_clip=1).start(bank)
    sizes = with_room_for(3, run)  # 24 visits: three batches of 7, and one of 3
    run.step()
    assert sizes == [7, 4, 3, 2, 2, *[3, 2, 2] * 2, 3]


def test_a_memory_without_room_for_two_chunks_fails_the_run_with_the_mend(
    small: Classifier, bank: ClipBank
) -> None:
    run = small.start(bank)
    sizes = with_room_for(1, run)
    with pytest.raises(HumtuneError, match=r"does not hold a training step of 2 chunks; .*--gpus"):
        run.step()
    assert sizes == [8, 4, 2]


def test_a_resumed_run_knows_what_its_memory_holds(small: Classifier, bank: ClipBank) -> None:
    unbroken, resumed = small.start(bank), small.start(bank)
    for run in (unbroken, resumed):
        with_room_for(5, run)
    unbroken.step()
    resumed.restore(unbroken.state())
    assert resumed.micro_batch == 4
    assert resumed.step() == unbroken.step()
    assert same(inside(resumed), inside(unbroken))


# --- how it is computed


class Compiler:
    """Stands in for torch.compile: remembers what it was given and computes as always."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.resets = 0

    def __call__(self, network: torch.nn.Module, *, dynamic: bool) -> Callable[[torch.Tensor], torch.Tensor]:
        assert not dynamic
        return lambda chunks: self.sizes.append(len(chunks)) or network(chunks)

    def reset(self) -> None:
        self.resets += 1


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> Compiler:
    made = Compiler()
    monkeypatch.setattr(torch, "compile", made)
    monkeypatch.setattr(torch.compiler, "reset", made.reset)
    return made


COMPILED = Acceleration(compiled=True)


def test_a_computer_that_cannot_compile_fails_the_run_with_the_mend(
    small: Classifier, bank: ClipBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch._dynamo.exc import BackendCompilerFailed

    def no_compiler(chunks: torch.Tensor) -> torch.Tensor:
        raise BackendCompilerFailed("inductor", RuntimeError("no g++\nand much more"), None)

    monkeypatch.setattr(torch, "compile", lambda *_, **__: no_compiler)
    run = small.start(bank, acceleration=COMPILED)
    with pytest.raises(HumtuneError, match=r"can't compile on \S+ \(.*\); search with --no-compile") as told:
        run.step()
    assert len(str(told.value).splitlines()) == 1


def test_whole_batches_are_compiled_and_the_last_is_not(
    small: Classifier, bank: ClipBank, compiler: Compiler
) -> None:
    run = changed(small, batch_size=7, chunks_per_clip=1).start(bank, acceleration=COMPILED)
    plain = run.recipe.start(bank)
    assert run.step() == plain.step()
    assert compiler.sizes == [7, 7, 7]  # of 24 visits
    run.finish()  # scoring compiles nothing
    assert len(compiler.sizes) == 3


def test_every_recipe_starts_with_an_empty_compiler(
    small: Classifier, bank: ClipBank, compiler: Compiler
) -> None:
    for _ in range(3):
        small.start(bank, acceleration=COMPILED)
    small.start(bank)
    assert compiler.resets == 3


def test_bf16_rounds_the_network_and_nothing_else(small: Classifier, bank: ClipBank) -> None:
    plain, rounded = (small.start(bank, acceleration=Acceleration(bf16=b)) for b in (False, True))
    seen: list[torch.dtype] = []
    rounded.encoder.backbone.register_forward_hook(lambda _, __, features: seen.append(features.dtype))
    one, other = plain.step(), rounded.step()
    assert set(seen) == {torch.bfloat16}
    assert other["loss"] != one["loss"]
    assert other["loss"] == pytest.approx(one["loss"], rel=0.05)
    assert {p.dtype for p in rounded.encoder.parameters()} == {torch.float32}


def test_an_interrupted_run_in_bf16_equals_an_unbroken_one(small: Classifier, bank: ClipBank) -> None:
    unbroken, resumed = (small.start(bank, acceleration=Acceleration(bf16=True)) for _ in range(2))
    unbroken.step()
    resumed.restore(unbroken.state())
    assert resumed.step() == unbroken.step()
    assert same(inside(resumed), inside(unbroken))


@pytest.mark.integration
@pytest.mark.skipif(not shutil.which("g++"), reason="no g++ to compile with: apt-get install g++")
def test_an_interrupted_compiled_run_equals_an_unbroken_one(bank: ClipBank) -> None:
    """With PyTorch's own compiler, and few layers for it; a last batch is shorter, a scoring lies between."""
    recipe = Classifier(
        spectrogram=Spectrogram(n_fft=256, chunk_frames=16, n_mels=16),
        backbone=XVector(channels=8, embedding=16),
        training=Training(epochs=3, batch_size=7, chunks_per_clip=2),
    )
    unbroken = recipe.start(bank, acceleration=COMPILED)
    first = unbroken.step()
    unbroken.finish()
    state = unbroken.state()
    wanted = [unbroken.step() for _ in range(2)]
    resumed = recipe.start(bank, acceleration=COMPILED)
    resumed.restore(state)
    assert [resumed.step() for _ in range(2)] == wanted
    assert same(inside(resumed), inside(unbroken))
    assert recipe.start(bank).step()["loss"] == pytest.approx(first["loss"])
