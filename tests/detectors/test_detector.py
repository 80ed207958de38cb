"""Detector: scores clips, and comes back from its file the same."""

import io
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from humtune.detectors.classifier.fit import ClassifierFit
from humtune.detectors.classifier.recipe import Classifier
from humtune.detectors.detector import Detector
from humtune.detectors.encoder import equispaced_starts, scoring_chunks
from humtune.detectors.recipe import Scoring
from humtune.errors import HumtuneError
from humtune.sounds.bank import ClipBank
from humtune.sounds.table import Role


def saved(content: object) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


def again(detector: Detector) -> Detector:
    """The detector as it comes back from its two files."""
    found = Detector.from_bytes(detector.to_bytes())
    found.load_reference(detector.reference_bytes())
    return found


@pytest.fixture
def detector(trained: ClassifierFit) -> Detector:
    """A trained detector of the test's own."""
    return again(trained.finish())


def test_a_detector_comes_back_from_its_files_the_same(trained: ClassifierFit, bank: ClipBank) -> None:
    before, clips = trained.finish(), bank.table.having(Role.SELECT, Role.REPORT)
    after = again(before)
    assert after.recipe == before.recipe
    assert (after.machine, after.encoder.classes) == (
        "fan",
        ("section_00", "section_01", "section_02"),
    )
    wanted, found = (d.score(d.encode(bank, clips)) for d in (before, after))
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

    data = saved({"config": "{}", "machine": Malicious()})
    with pytest.raises(HumtuneError, match="damaged, or not one of humtune's"):
        Detector.from_bytes(data)
    assert not trace.exists()
    torch.load(io.BytesIO(data), weights_only=False)  # the trap does snap
    assert trace.exists()


def test_a_damaged_file_is_refused_in_one_sentence(trained: ClassifierFit) -> None:
    data = trained.finish().to_bytes()
    for bad in (b"", b"RIFF", data[:-1000]):
        with pytest.raises(HumtuneError, match=rf"this detector \({len(bad)} bytes\) is damaged"):
            Detector.from_bytes(bad)


def test_a_score_is_the_mean_over_the_clips_chunks(detector: Detector, bank: ClipBank) -> None:
    clips = bank.table.having(Role.HELD_OUT)
    encoded = detector.encode(bank, clips)
    scores = detector.score(encoded)
    assert tuple(scores) == ("cosine", "nll")
    for name, vector in scores.items():
        chunks = detector.recipe.scoring.of(name).fit(detector.reference)(encoded).numpy()
        np.testing.assert_allclose(vector, [chunks[5 * i : 5 * i + 5].mean() for i in range(len(clips))])


def test_fusion_is_made_of_the_held_out_clips_scores_and_comes_back(
    small: Classifier, bank: ClipBank, trained: ClassifierFit
) -> None:
    recipe = small.model_copy(update={"scores": ("knn", "fusion", "cosine", "nll")})
    run = recipe.start(bank)
    run.encoder.load_state_dict(trained.finish().encoder.state_dict())
    before = run.finish()
    held_out = before.score(before.encode(bank, bank.table.having(Role.HELD_OUT)))
    encoded = before.encode(bank, bank.table.having(Role.SELECT, Role.REPORT))
    scores = before.score(encoded)
    assert scores.keys() == set(recipe.scores)
    z = [(scores[name] - held_out[name].mean()) / held_out[name].std() for name in ("knn", "cosine", "nll")]
    np.testing.assert_allclose(scores["fusion"], np.min(z, axis=0), rtol=1e-9, atol=1e-9)
    after = again(before)
    assert after.joints == before.joints
    assert after.joints.keys() == {"fusion"}
    assert np.array_equal(after.score(encoded)["fusion"], scores["fusion"])
    joints = before.joints
    assert run.finish().joints == joints  # as at a rung, and at the next


def test_a_detector_that_was_not_asked_for_fusion_has_none(trained: ClassifierFit) -> None:
    assert trained.finish().joints == {}
    assert again(trained.finish()).joints == {}


def test_training_clips_are_far_from_the_others_but_not_from_themselves(
    detector: Detector, bank: ClipBank
) -> None:
    encoded = detector.encode(bank, bank.table.having(Role.TRAIN))
    own, masked = detector.score(encoded), detector.score(encoded, mask_own=True)
    np.testing.assert_allclose(own["cosine"], 0, atol=1e-9)
    assert (masked["cosine"] > 1e-7).all()
    assert (masked["nll"] >= own["nll"]).all()
    assert (masked["nll"] > own["nll"]).any()


def test_masking_changes_nothing_for_clips_that_are_not_in_the_reference(
    detector: Detector, bank: ClipBank
) -> None:
    encoded = detector.encode(bank, bank.table.having(Role.SELECT))
    plain, masked = detector.score(encoded), detector.score(encoded, mask_own=True)
    assert all(np.array_equal(plain[name], masked[name]) for name in plain)


def test_embeddings_are_plain_tensors_that_gradients_may_flow_from(
    detector: Detector, bank: ClipBank
) -> None:
    encoded = detector.encode(bank, bank.table.having(Role.SELECT))
    detector.encoder.head.classify(encoded.mean).sum().backward()
    assert detector.encoder.head.to_class.weight.grad is not None


def test_a_strange_sound_scores_higher(detector: Detector, bank: ClipBank) -> None:
    clips = bank.table.having(Role.SELECT)
    strange = bank.samples.copy()
    for clip in clips:  # a whistle that no machine makes
        part = slice(*bank.offsets[clip : clip + 2])
        time = np.arange(part.stop - part.start) / 16_000
        strange[part] = 8000 * np.sin(2 * np.pi * 6300 * time)
    normal, odd = (detector.score(detector.encode(b, clips)) for b in (bank, replace(bank, samples=strange)))
    assert all(odd[name].min() > normal[name].max() for name in normal)


def test_without_a_reference_there_is_no_score(detector: Detector, bank: ClipBank) -> None:
    encoded = detector.encode(bank, bank.table.having(Role.SELECT))
    bare = Detector.from_bytes(detector.to_bytes())
    assert bare.reference is None
    with pytest.raises(HumtuneError, match="detector of fan has no reference"):
        bare.score(encoded)


def test_a_reference_is_made_again_or_read_the_same(trained: ClassifierFit, bank: ClipBank) -> None:
    clips = bank.table.having(Role.SELECT)
    detector = trained.finish()
    wanted = detector.score(detector.encode(bank, clips))
    made, loaded = (Detector.from_bytes(detector.to_bytes()) for _ in range(2))
    made.learn(bank, bank.table.having(Role.TRAIN))
    loaded.load_reference(detector.reference_bytes())
    for other in (made, loaded):
        assert other.reference.chunks == 5
        assert other.reference.columns.keys() == detector.reference.columns.keys()
        for name, column in detector.reference.columns.items():
            assert torch.equal(other.reference.columns[name], column)
        found = other.score(other.encode(bank, clips))
        assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


def test_the_domains_of_the_recordings_are_those_of_the_rows(detector: Detector, bank: ClipBank) -> None:
    clips = bank.table.having(Role.TRAIN)
    assert detector.reference.domain.tolist() == np.repeat(bank.table.domain[clips], 5).tolist()
    assert (
        detector.encode(bank, clips[:2]).averaged().domain.tolist() == bank.table.domain[clips[:2]].tolist()
    )


def test_a_reference_written_before_domains_were_known_is_read(detector: Detector, bank: ClipBank) -> None:
    encoded = detector.encode(bank, bank.table.having(Role.SELECT))
    wanted = detector.score(encoded)
    columns = detector.reference.columns
    del columns["domain"]
    detector.load_reference(saved({**columns, "chunks": 5}))
    assert detector.reference.domain is None
    found = detector.score(encoded)
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


def test_a_score_that_compares_no_embeddings_knows_no_domains(detector: Detector, bank: ClipBank) -> None:
    scoring = Scoring(domains="standardised")
    detector.recipe = detector.recipe.model_copy(update={"scores": ("cosine", "neg_logit")})
    encoded = detector.encode(bank, bank.table.having(Role.SELECT))
    pooled = detector.score(encoded)
    detector.recipe = detector.recipe.model_copy(update={"scoring": scoring})
    found = detector.score(encoded)
    assert np.array_equal(found["neg_logit"], pooled["neg_logit"])
    assert not np.allclose(found["cosine"], pooled["cosine"])


def test_a_score_type_may_have_a_pool_of_its_own(detector: Detector, bank: ClipBank) -> None:
    """What it gives is what it gives where all have that pool; only what knows no section is exported."""
    encoded = detector.encode(bank, bank.table.having(Role.SELECT))
    found = {}
    for name, pools in {"mixed": {"pool": "section", "cosine": {"pool": "machine"}}, "machine": {}}.items():
        detector.recipe = detector.recipe.model_copy(
            update={"scores": ("cosine", "mahalanobis"), "scoring": Scoring.model_validate(pools)}
        )
        found[name] = detector.score(encoded)
        can = [score for score in ("cosine", "mahalanobis") if detector.recipe.can_be_exported(score)]
        assert can == (["cosine"] if name == "mixed" else ["cosine", "mahalanobis"])
    assert np.array_equal(found["mixed"]["cosine"], found["machine"]["cosine"])
    assert not np.allclose(found["mixed"]["mahalanobis"], found["machine"]["mahalanobis"])
    assert np.array_equal(
        found["mixed"]["mahalanobis"], detector.score(encoded, pool="section")["mahalanobis"]
    )


def test_a_damaged_reference_is_refused_in_one_sentence(trained: ClassifierFit) -> None:
    data = trained.finish().reference_bytes()
    bare = Detector.from_bytes(trained.finish().to_bytes())
    for bad in (b"", data[:-1000]):
        with pytest.raises(HumtuneError, match=rf"this reference \({len(bad)} bytes\) is damaged"):
            bare.load_reference(bad)


def test_a_detectors_file_holds_no_reference(trained: ClassifierFit) -> None:
    content = torch.load(io.BytesIO(trained.finish().to_bytes()), weights_only=True)
    assert content.keys() == {"config", "machine", "classes", "weights", "joints"}


def test_embeddings_come_clip_after_clip_whatever_else_is_embedded(
    detector: Detector, bank: ClipBank
) -> None:
    clips = bank.table.having(Role.TRAIN)[::-1][:14]  # more chunks than a batch holds
    whole = detector.encode(bank, clips)
    assert whole.mean.shape == whole.log_variance.shape == (70, 128)
    assert whole.clip.tolist() == np.repeat(clips, 5).tolist()
    for i in (0, 12, 13):
        alone = detector.encode(bank, clips[i : i + 1])
        torch.testing.assert_close(whole.mean[5 * i : 5 * i + 5], alone.mean, rtol=1e-4, atol=1e-4)


def test_embeddings_are_those_of_slices_of_the_whole_clips_spectrogram(
    detector: Detector, bank: ClipBank
) -> None:
    clip = int(bank.table.having(Role.SELECT)[0])
    detector.encoder.eval()
    frontend, length = detector.encoder.frontend, detector.recipe.spectrogram.chunk_frames
    whole = frontend.standardise(frontend.whole(torch.from_numpy(bank.clip(clip).copy())[None]))
    starts = equispaced_starts(whole.shape[1], length, 5)
    chunks = torch.stack([whole[None, :, start : start + length] for start in starts])
    with torch.no_grad():
        mean, log_variance = detector.encoder.head.embed(detector.encoder.backbone(chunks))
    found = detector.encode(bank, np.array([clip]))
    torch.testing.assert_close(found.mean, mean, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.log_variance, log_variance, rtol=1e-4, atol=1e-4)


def test_embedding_twice_gives_the_same_and_leaves_the_weights(detector: Detector, bank: ClipBank) -> None:
    detector.encoder.train()  # as after an epoch: batch norm must not go on learning
    before = {name: tensor.clone() for name, tensor in detector.encoder.state_dict().items()}
    clips = bank.table.having(Role.REPORT)
    one, other = detector.encode(bank, clips), detector.encode(bank, clips)
    assert torch.equal(one.mean, other.mean)
    assert all(torch.equal(tensor, before[name]) for name, tensor in detector.encoder.state_dict().items())


@pytest.mark.parametrize("batch", [1, 4, 64, 1000])
def test_scoring_chunks_are_five_a_clip_in_batches(small: Classifier, bank: ClipBank, batch: int) -> None:
    clips = bank.table.having(Role.TRAIN)
    batches = list(scoring_chunks(bank, clips, small.spectrogram, batch))
    assert sum(map(len, batches)) == 5 * len(clips)
    assert all(len(b) == batch for b in batches[:-1])
    chunks = torch.cat(batches)
    assert chunks.shape[1] == small.spectrogram.chunk_samples
    inner = bank.clip(int(clips[2]))  # the third clip's second chunk
    start = (
        equispaced_starts(small.spectrogram.frames(len(inner)), 64, 5)[1] * small.spectrogram.hop_samples
        - 128
    )
    wanted = inner[max(start, 0) : start + small.spectrogram.chunk_samples]
    assert np.array_equal(chunks[11].numpy()[-len(wanted) :], wanted)


def test_no_clips_and_short_clips_are_refused(detector: Detector, bank: ClipBank) -> None:
    with pytest.raises(HumtuneError, match="fan: there are no clips"):
        detector.encode(bank, np.array([], dtype=np.intp))
    stub = replace(
        bank, samples=bank.samples[:-9000], offsets=np.append(bank.offsets[:-1], len(bank.samples) - 9000)
    )
    with pytest.raises(HumtuneError, match=r"shortest clip has \d+ frames.*choose chunk_frames"):
        detector.encode(stub, stub.table.having(Role.TRAIN))


def test_making_an_encoder_leaves_the_global_generator_alone_and_takes_its_seed(small: Classifier) -> None:
    classes = ("a", "b")
    before = torch.random.get_rng_state()
    one, same = (small.build(classes) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    other = small.model_copy(update={"seed": 1}).build(classes)
    assert not torch.equal(one.head.to_mean.weight, other.head.to_mean.weight)


# --- files of humtune 0.1, which knew one family


OLD_RECIPE = """{
  "spectrogram": {"n_fft": 256, "chunk_frames": 64, "n_mels": 64, "db": true},
  "backbone": {"width": 0.25, "activation": "relu", "embedding": 128},
  "head": {"kind": "variational", "mu": 5.0, "sigma2": 0.02, "beta_class": 1.0},
  "training": {
    "epochs": 3, "batch_size": 8, "chunks_per_clip": 5, "learning_rate": 0.003, "warmup": 0.2,
    "milestones": [0.5, 0.8], "decay": 0.2, "mixup": 0.8, "mask_time": 0.1, "mask_frequency": 0.1
  },
  "labels": "section",
  "scores": ["cosine", "nll", "fusion"],
  "scoring": {"pool": "machine", "aggregation": "mean", "neighbours": 5},
  "seed": 0
}"""


def old_names() -> set[str]:
    """The names that weights had."""
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    layers = [f"backbone.{i}" for i in (0, 1, 8, 9, 10)]
    layers += [f"backbone.{i}.body.{j}" for i in range(2, 8) for j in range(3)]
    names = {f"{layer}.0.weight" for layer in layers} | {f"{layer}.1.{n}" for layer in layers for n in norm}
    maps = {f"head.{m}.{n}" for m in ("to_mean", "to_log_variance", "to_class") for n in ("weight", "bias")}
    return names | maps | {"head.class_means", "frontend.mean", "frontend.std"}


@pytest.mark.parametrize("inside", [True, False])
def test_an_old_detectors_files_are_loaded_and_score(
    trained: ClassifierFit, bank: ClipBank, inside: bool
) -> None:
    """Its reference lies in a file of its own; the detector's file could hold one too."""
    now, clips = trained.finish(), bank.table.having(Role.SELECT, Role.REPORT)
    weights = now.encoder.state_dict()
    assert weights.keys() == old_names()
    names = ("mean", "log_variance", "clip", "section", "label")
    reference = {name: getattr(now.reference, name) for name in names}
    centre, spread = {"cosine": 0.5, "nll": -100.0}, {"cosine": 0.25, "nll": 10.0}
    content = {
        "config": OLD_RECIPE,
        "machine": "fan",
        "classes": ["section_00", "section_01", "section_02"],
        "weights": weights,
        "reference": reference if inside else None,
        "fusion": {"centre": centre, "spread": spread},
    }
    old = Detector.from_bytes(saved(content))
    assert old.recipe == now.recipe.model_copy(
        update={"scores": ("cosine", "nll", "fusion"), "labels": "section"}
    )
    old.load_reference(saved(reference))
    found, wanted = (d.score(d.encode(bank, clips)) for d in (old, now))
    assert tuple(found) == ("cosine", "nll", "fusion")
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)
    z = [(wanted[name] - centre[name]) / spread[name] for name in wanted]
    np.testing.assert_allclose(found["fusion"], np.min(z, axis=0), rtol=1e-12)


def test_an_old_file_without_fusion_has_no_joint_score(trained: ClassifierFit) -> None:
    content = torch.load(io.BytesIO(trained.finish().to_bytes()), weights_only=True)
    del content["joints"]
    for old in (content, content | {"reference": None, "fusion": None}):
        assert Detector.from_bytes(saved(old)).joints == {}


def test_a_score_type_may_have_references_of_its_own(detector: Detector, bank: ClipBank) -> None:
    """One fit tells what several ways of treating source and target are worth, each by another score type."""
    encoded = detector.encode(bank, bank.table.having(Role.SELECT))

    def scores(**scoring: Any) -> dict[str, Any]:
        detector.recipe = detector.recipe.model_copy(
            update={"scores": ("cosine", "knn"), "scoring": Scoring.model_validate(scoring)}
        )
        return detector.score(encoded)

    plain, standardised = scores(), scores(domains="standardised")
    mixed = scores(domains="standardised", knn={"domains": "pooled"}, cosine={"source_clusters": 2})
    assert np.array_equal(mixed["knn"], plain["knn"])
    assert not np.allclose(standardised["knn"], plain["knn"])
    both = scores(domains="standardised", source_clusters=2)
    assert np.array_equal(mixed["cosine"], both["cosine"])
    assert not np.allclose(both["cosine"], standardised["cosine"])
