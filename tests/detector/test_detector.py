"""Detector: scores clips, and comes back from its file the same."""

import io
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from humtune.config import TrialConfig
from humtune.detector.detector import Detector, scoring_chunks
from humtune.detector.frontend import equispaced_starts
from humtune.detector.scores import SCORES
from humtune.detector.training import TrainingRun
from humtune.errors import HumtuneError
from humtune.sounds.bank import ClipBank
from humtune.sounds.table import Role


@pytest.fixture
def detector(trained: TrainingRun) -> Detector:
    """A trained detector of the test's own."""
    return Detector.from_bytes(trained.detector.to_bytes())


def test_a_detector_comes_back_from_its_file_the_same(trained: TrainingRun, bank: ClipBank) -> None:
    before, clips = trained.detector, bank.table.having(Role.SELECT, Role.REPORT)
    after = Detector.from_bytes(before.to_bytes())
    assert after.config == before.config
    assert (after.machine, after.classes) == (
        "fan",
        ("section_00", "section_01", "section_02"),
    )
    wanted, found = (d.score(d.embed(bank, clips)) for d in (before, after))
    assert wanted.keys() == found.keys() == {"cosine", "nll"}
    for name in wanted:
        assert found[name].shape == (len(clips),)
        assert found[name].dtype == np.float64
        assert np.array_equal(found[name], wanted[name])


def test_loading_runs_no_code(tmp_path: Path) -> None:
    trace = tmp_path / "ran"

    class Malicious:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(trace),)

    stream = io.BytesIO()
    torch.save({"config": "{}", "machine": Malicious()}, stream)
    with pytest.raises(HumtuneError, match="damaged, or not one of humtune's"):
        Detector.from_bytes(stream.getvalue())
    assert not trace.exists()
    torch.load(io.BytesIO(stream.getvalue()), weights_only=False)  # the trap does snap
    assert trace.exists()


def test_a_damaged_file_is_refused_in_one_sentence(trained: TrainingRun) -> None:
    data = trained.detector.to_bytes()
    for bad in (b"", b"RIFF", data[:-1000]):
        with pytest.raises(HumtuneError, match=rf"this detector \({len(bad)} bytes\) is damaged"):
            Detector.from_bytes(bad)


def test_a_score_is_the_mean_over_the_clips_chunks(detector: Detector, bank: ClipBank) -> None:
    clips = bank.table.having(Role.HELD_OUT)
    embeddings = detector.embed(bank, clips)
    scores = detector.score(embeddings)
    for name, vector in scores.items():
        chunks = SCORES[name](detector.reference)(embeddings.mean).numpy()
        np.testing.assert_allclose(vector, [chunks[5 * i : 5 * i + 5].mean() for i in range(len(clips))])


def test_fusion_is_made_of_the_held_out_clips_scores_and_comes_back(
    small: TrialConfig, bank: ClipBank, trained: TrainingRun
) -> None:
    config = small.model_copy(update={"scores": ("knn", "fusion", "cosine", "nll")})
    run = TrainingRun(config, bank)
    run.detector.load_state_dict(trained.detector.state_dict())
    before = run.finish()
    held_out = before.score(before.embed(bank, bank.table.having(Role.HELD_OUT)))
    embeddings = before.embed(bank, bank.table.having(Role.SELECT, Role.REPORT))
    scores = before.score(embeddings)
    assert scores.keys() == set(config.scores)
    z = [(scores[name] - held_out[name].mean()) / held_out[name].std() for name in ("knn", "cosine", "nll")]
    np.testing.assert_allclose(scores["fusion"], np.min(z, axis=0), rtol=1e-9, atol=1e-9)
    after = Detector.from_bytes(before.to_bytes())
    assert after.fusion == before.fusion
    assert np.array_equal(after.score(embeddings)["fusion"], scores["fusion"])
    assert run.finish().fusion == before.fusion  # as at a rung, and at the next


def test_a_detector_that_was_not_asked_for_fusion_has_none(trained: TrainingRun) -> None:
    assert trained.detector.fusion is None
    assert Detector.from_bytes(trained.detector.to_bytes()).fusion is None


def test_training_clips_are_far_from_the_others_but_not_from_themselves(
    detector: Detector, bank: ClipBank
) -> None:
    embeddings = detector.embed(bank, bank.table.having(Role.TRAIN))
    own, masked = detector.score(embeddings), detector.score(embeddings, mask_own=True)
    np.testing.assert_allclose(own["cosine"], 0, atol=1e-9)
    assert (masked["cosine"] > 1e-7).all()
    assert (masked["nll"] >= own["nll"]).all()
    assert (masked["nll"] > own["nll"]).any()


def test_masking_changes_nothing_for_clips_that_are_not_in_the_reference(
    detector: Detector, bank: ClipBank
) -> None:
    embeddings = detector.embed(bank, bank.table.having(Role.SELECT))
    plain, masked = detector.score(embeddings), detector.score(embeddings, mask_own=True)
    assert all(np.array_equal(plain[name], masked[name]) for name in plain)


def test_embeddings_are_plain_tensors_that_gradients_may_flow_from(
    detector: Detector, bank: ClipBank
) -> None:
    embeddings = detector.embed(bank, bank.table.having(Role.SELECT))
    detector.head.classify(embeddings.mean).sum().backward()
    assert detector.head.to_class.weight.grad is not None


def test_a_strange_sound_scores_higher(detector: Detector, bank: ClipBank) -> None:
    clips = bank.table.having(Role.SELECT)
    strange = bank.samples.copy()
    for clip in clips:  # a whistle that no machine makes
        part = slice(*bank.offsets[clip : clip + 2])
        time = np.arange(part.stop - part.start) / 16_000
        strange[part] = 8000 * np.sin(2 * np.pi * 6300 * time)
    normal, odd = (detector.score(detector.embed(b, clips)) for b in (bank, replace(bank, samples=strange)))
    assert all(odd[name].min() > normal[name].max() for name in normal)


def test_without_a_reference_there_is_no_score(detector: Detector, bank: ClipBank) -> None:
    embeddings = detector.embed(bank, bank.table.having(Role.SELECT))
    bare = Detector.from_bytes(detector.without_reference().to_bytes())
    assert bare.reference is None
    with pytest.raises(HumtuneError, match="detector of fan has no reference"):
        bare.score(embeddings)


def test_a_reference_set_aside_can_be_made_again(trained: TrainingRun, bank: ClipBank) -> None:
    clips = bank.table.having(Role.SELECT)
    detector = Detector.from_bytes(trained.detector.to_bytes())
    wanted = detector.score(detector.embed(bank, clips))
    bare = Detector.from_bytes(detector.without_reference().to_bytes())
    bare.reference = bare.embed(bank, bank.table.having(Role.TRAIN))
    found = bare.score(bare.embed(bank, clips))
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


def test_embeddings_come_clip_after_clip_whatever_else_is_embedded(
    detector: Detector, bank: ClipBank
) -> None:
    clips = bank.table.having(Role.TRAIN)[::-1][:14]  # more chunks than a batch holds
    whole = detector.embed(bank, clips)
    assert whole.mean.shape == whole.log_variance.shape == (70, 128)
    assert whole.clip.tolist() == np.repeat(clips, 5).tolist()
    for i in (0, 12, 13):
        alone = detector.embed(bank, clips[i : i + 1])
        torch.testing.assert_close(whole.mean[5 * i : 5 * i + 5], alone.mean, rtol=1e-4, atol=1e-4)


def test_embeddings_are_those_of_slices_of_the_whole_clips_spectrogram(
    detector: Detector, bank: ClipBank
) -> None:
    clip = int(bank.table.having(Role.SELECT)[0])
    detector.eval()
    frontend, length = detector.frontend, detector.config.spectrogram.chunk_frames
    whole = frontend.standardise(frontend.centred(torch.from_numpy(bank.clip(clip).copy())[None]))[0]
    starts = equispaced_starts(whole.shape[1], length, 5)
    pictures = torch.stack([whole[None, :, start : start + length] for start in starts])
    with torch.no_grad():
        mean, log_variance = detector.head.embed(detector.backbone(pictures))
    found = detector.embed(bank, np.array([clip]))
    torch.testing.assert_close(found.mean, mean, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.log_variance, log_variance, rtol=1e-4, atol=1e-4)


def test_embedding_twice_gives_the_same_and_leaves_the_weights(detector: Detector, bank: ClipBank) -> None:
    detector.train()  # as after an epoch: batch norm must not go on learning
    before = {name: tensor.clone() for name, tensor in detector.state_dict().items()}
    clips = bank.table.having(Role.REPORT)
    one, other = detector.embed(bank, clips), detector.embed(bank, clips)
    assert torch.equal(one.mean, other.mean)
    assert all(torch.equal(tensor, before[name]) for name, tensor in detector.state_dict().items())


@pytest.mark.parametrize("batch", [1, 4, 64, 1000])
def test_scoring_chunks_are_five_a_clip_in_batches(small: TrialConfig, bank: ClipBank, batch: int) -> None:
    clips = bank.table.having(Role.TRAIN)
    batches = list(scoring_chunks(bank, clips, small, batch))
    assert sum(map(len, batches)) == 5 * len(clips)
    assert all(len(b) == batch for b in batches[:-1])
    chunks = torch.cat(batches)
    assert chunks.shape[1] == small.spectrogram.chunk_samples
    inner = bank.clip(int(clips[2]))  # the third clip's second chunk
    start = equispaced_starts(small.spectrogram.frames(len(inner)), 64, 5)[1] * small.spectrogram.hop - 128
    wanted = inner[max(start, 0) : start + small.spectrogram.chunk_samples]
    assert np.array_equal(chunks[11].numpy()[-len(wanted) :], wanted)


def test_no_clips_and_short_clips_are_refused(detector: Detector, bank: ClipBank) -> None:
    with pytest.raises(HumtuneError, match="fan: there are no clips"):
        detector.embed(bank, np.array([], dtype=np.intp))
    stub = replace(
        bank, samples=bank.samples[:-9000], offsets=np.append(bank.offsets[:-1], len(bank.samples) - 9000)
    )
    with pytest.raises(HumtuneError, match=r"shortest clip has \d+ frames.*choose chunk_frames"):
        detector.embed(stub, stub.table.having(Role.TRAIN))


def test_making_a_detector_leaves_the_global_generator_alone_and_takes_its_seed(small: TrialConfig) -> None:
    classes = ("a", "b")
    before = torch.random.get_rng_state()
    one, same = (Detector(small, machine="fan", classes=classes) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    other = Detector(small.model_copy(update={"seed": 1}), machine="fan", classes=classes)
    assert not torch.equal(one.head.to_mean.weight, other.head.to_mean.weight)
