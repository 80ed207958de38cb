"""What a search would cost: told by size of trial, and about right."""

from collections.abc import Callable
from itertools import chain, repeat
from typing import Any

import pytest
import torch

from humtune.config import TEST_CHUNKS, Acceleration
from humtune.detectors.classifier import timing
from humtune.detectors.classifier.fit import ClassifierFit
from humtune.plan import Resources
from humtune.search.timing import costs
from humtune.sounds.bank import ClipBank
from humtune.sounds.table import Role

Make = Callable[..., Any]

FIXED: dict[str, Any] = {
    "backbone": {"width": 0.125, "embedding": 16},
    "training": {"epochs": 4, "batch_size": 8, "chunks_per_clip": 2},
}
SMALL = {"n_fft": 128, "chunk_frames": 16, "n_mels": 16}


@pytest.fixture(autouse=True)
def _threads() -> Any:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_every_size_that_can_be_chosen_has_a_cost(space: Make, bank: ClipBank) -> None:
    sizes = space(
        fixed=FIXED,
        search={
            "spectrogram": {
                "presets": {"small": SMALL, "large": {**SMALL, "n_mels": 64, "chunk_frames": 40}}
            },
            "backbone.activation": ["relu", "prelu"],
            "head.mu": [5, 10],
            "training.learning_rate": [1e-4, 1e-3],
        },
    )
    found = list(costs(sizes, bank, Resources()))
    assert [c.chosen for c in found] == [
        {"spectrogram": s, "backbone.activation": a} for s in ("small", "large") for a in ("relu", "prelu")
    ]
    assert {c.machine for c in found} == {"fan"}
    assert all(0 < c.estimate.step_seconds < c.estimate.trial_seconds for c in found)
    assert len({c.size for c in found}) == 4
    assert torch.get_num_threads() == 1


def test_a_trials_cost_counts_its_training_and_every_scoring(
    space: Make, bank: ClipBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "_chunk_seconds", lambda run: 3.0)
    train = len(bank.table.having(Role.TRAIN))
    trained = train * 2 * 4  # chunks a clip, epochs
    scored = (len(bank.table) + 300) * TEST_CHUNKS / 3  # with probes, without the backward pass
    fixed = {**FIXED, "spectrogram": SMALL}
    [once] = costs(space(fixed=fixed), bank, Resources(compiled=False))
    assert once.estimate.trial_seconds == pytest.approx(3 * (trained + scored))
    [rungs] = costs(space(fixed=fixed, pruner="median"), bank, Resources(compiled=False))
    looked_at = (train + len(bank.table.having(Role.SELECT))) * TEST_CHUNKS / 3  # by a rung
    assert rungs.estimate.trial_seconds == pytest.approx(
        3 * (trained + 2 * looked_at + scored)
    )  # rungs at 1 and 2


def test_a_compiled_trial_costs_so_much_less(
    space: Make, bank: ClipBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "_chunk_seconds", lambda run: 3.0)
    asked: list[dict[str, Any]] = []
    fast = Acceleration(compiled=True)
    monkeypatch.setattr(timing, "choose", lambda *_, **keys: asked.append(keys) or (fast, 2.0))
    fixed = {**FIXED, "spectrogram": SMALL}
    [told] = costs(space(fixed=fixed), bank, Resources())
    assert told.estimate.acceleration == fast
    epoch = 2 * len(bank.table.having(Role.TRAIN))  # chunks
    assert told.estimate.step_seconds == 3.0 * epoch / 2
    assert told.estimate.trial_seconds == asked[0]["trial_seconds"] / 2


def test_the_cost_of_an_epoch_is_that_of_its_batches(
    space: Make, bank: ClipBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fastest batch's but for the first; and an epoch is made of such chunks."""
    now, trained = 0.0, 0
    took = chain([90.0, 2.5, 2.0, 4.0], repeat(2.0))  # seconds a chunk, by batch
    batch = ClassifierFit.batch

    def timed(run: ClassifierFit, clips: Any) -> torch.Tensor:
        nonlocal now, trained
        now += next(took) * len(clips)
        trained += len(clips)
        return batch(run, clips)

    monkeypatch.setattr(ClassifierFit, "batch", timed)
    monkeypatch.setattr("humtune.detectors.classifier.timing.perf_counter", lambda: now)
    one = space(fixed={**FIXED, "spectrogram": SMALL})
    [told] = costs(one, bank, Resources(compiled=False))
    run, before = one.recipe({}).start(bank), trained
    run.step()
    chunks = trained - before
    assert chunks == len(run.clips) * FIXED["training"]["chunks_per_clip"]
    assert told.estimate.step_seconds == 2.0 * chunks
