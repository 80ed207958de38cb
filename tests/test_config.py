"""What a trial's configuration refuses, and that its defaults are the paper's."""

from typing import Any

import pytest
from pydantic import ValidationError

from humtune.config import (
    ArcFaceHead,
    Backbone,
    CrossEntropyHead,
    HeadConfig,
    ScoreName,
    Spectrogram,
    Training,
    TrialConfig,
    VariationalHead,
    set_path,
)

CLIP = 160_000  # samples of 10 s at 16 kHz


@pytest.mark.parametrize(
    "tree",
    [
        {"spectogram": {}},
        {"spectrogram": {"nfft": 256}},
        {"backbone": {"depth": 3}},
        {"head": {"sigma": 0.1}},
        {"head": {"kind": "arcfase"}},
        {"head": {"kind": "cross_entropy", "mu": 5}},
        {"head": {"kind": "arcface", "sigma2": 0.1}},
        {"head": {"margin": 0.5}},
        {"scoring": {"k": 3}},
        {"training": {"epoch": 3}},
    ],
)
def test_unknown_settings_are_refused(tree: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TrialConfig.model_validate(tree)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spectrogram.n_fft", 15),
        ("spectrogram.n_fft", 257),
        ("spectrogram.n_fft", 256.5),
        ("spectrogram.chunk_frames", 0),
        ("spectrogram.n_mels", 0),
        ("spectrogram.db", "loud"),
        ("backbone.width", 0),
        ("backbone.activation", "gelu"),
        ("backbone.embedding", 1),
        ("head.mu", 0),
        ("head.sigma2", 0),
        ("head.sigma2", -0.1),
        ("head.beta_class", -1),
        ("head", {"kind": "arcface", "margin": -0.1}),
        ("head", {"kind": "arcface", "margin": 1.6}),
        ("head", {"kind": "arcface", "scale": 0}),
        ("head", 3),
        ("scoring.pool", "domain"),
        ("scoring.aggregation", "sum"),
        ("scoring.neighbours", 0),
        ("training.epochs", 0),
        ("training.batch_size", 1),
        ("training.chunks_per_clip", 0),
        ("training.learning_rate", 0),
        ("training.warmup", 1),
        ("training.mixup", -0.1),
        ("training.mask_time", 1),
        ("labels", "sections"),
        ("scores", []),
        ("scores", ["cosin"]),
        ("seed", "lucky"),
    ],
)
def test_impossible_values_are_refused(path: str, value: Any) -> None:
    tree: dict[str, Any] = {}
    set_path(tree, path, value)
    with pytest.raises(ValidationError) as caught:
        TrialConfig.model_validate(tree)
    assert path.split(".")[0] in str(caught.value)


def test_an_odd_window_is_told_with_its_length() -> None:
    with pytest.raises(ValidationError, match="n_fft must be even, got 255"):
        Spectrogram(n_fft=255)


@pytest.mark.parametrize("value", [TrialConfig(), Spectrogram(), Backbone(), VariationalHead(), Training()])
def test_a_configuration_cannot_be_changed(value: Any) -> None:
    name = next(iter(type(value).model_fields))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(value, name, getattr(value, name))


def test_defaults_are_the_papers() -> None:
    config = TrialConfig()
    toycar = Spectrogram(n_fft=256, chunk_frames=512, n_mels=256, db=True)  # Table 2
    assert config.spectrogram == toycar
    assert config.backbone == Backbone(width=1, activation="relu", embedding=128)  # Table 1
    assert isinstance(config.head, VariationalHead)
    assert config.head.beta_class == 1
    training = config.training  # §4.1
    assert (training.epochs, training.batch_size, training.learning_rate) == (50, 64, 1e-3)
    assert (training.decay, training.mixup, training.chunks_per_clip) == (0.2, 0.8, 5)
    assert training.warmup * training.epochs == 10
    assert [share * training.epochs for share in training.milestones] == [25, 40]
    assert config.scores == ("cosine", "nll")
    assert config.labels == "section"


@pytest.mark.parametrize(
    ("n_fft", "chunk", "mels", "bins"),
    [
        (256, 512, 256, 256),
        (128, 1024, 128, 128),
        (1024, 128, 512, 512),
        (512, 256, 512, 512),
        (400, 400, None, 201),
    ],
)
def test_table_2_in_samples(n_fft: int, chunk: int, mels: int | None, bins: int) -> None:
    spectrogram = Spectrogram(n_fft=n_fft, chunk_frames=chunk, n_mels=mels)
    assert spectrogram.hop == n_fft // 2
    assert spectrogram.bins == bins
    assert spectrogram.frames(CLIP) == 1 + CLIP // (n_fft // 2)
    assert spectrogram.chunk_samples == chunk * spectrogram.hop + spectrogram.hop
    if mels:
        assert chunk * spectrogram.hop / 16_000 == 4.096  # s: every mel row of the table spans the same time


def test_a_configuration_survives_its_json() -> None:
    config = TrialConfig(
        spectrogram=Spectrogram(n_mels=None, db=False),
        head=VariationalHead(mu=1 / 3, sigma2=0.1),
        training=Training(milestones=(0.1,)),
        labels="both",
        scores=("nll",),
        seed=7,
    )
    assert TrialConfig.model_validate_json(config.model_dump_json()) == config


def test_a_path_makes_its_branches_and_keeps_what_is_there() -> None:
    tree: dict[str, Any] = {"head": {"mu": 5}}
    set_path(tree, "head.sigma2", 0.1)
    set_path(tree, "training.epochs", 3)
    set_path(tree, "seed", 1)
    assert tree == {"head": {"mu": 5, "sigma2": 0.1}, "training": {"epochs": 3}, "seed": 1}


def test_a_mapping_is_merged_and_never_shared() -> None:
    preset = {"n_fft": 512, "deep": {"a": 1}}
    tree: dict[str, Any] = {"spectrogram": {"n_fft": 256, "db": False}}
    set_path(tree, "spectrogram", preset)
    assert tree == {"spectrogram": {"n_fft": 512, "db": False, "deep": {"a": 1}}}
    set_path(tree, "spectrogram.deep.a", 2)
    assert preset == {"n_fft": 512, "deep": {"a": 1}}
    set_path(tree, "spectrogram", 3)  # not a mapping: what is wrong with it is the model's to say
    assert tree == {"spectrogram": 3}
    set_path(tree, "spectrogram", preset)
    assert tree == {"spectrogram": preset}


def test_a_head_without_a_kind_is_variational() -> None:
    for tree in ({}, {"mu": 10}):
        config = TrialConfig.model_validate({"head": tree})
        assert config.head == VariationalHead(**tree)


@pytest.mark.parametrize(
    "head", [VariationalHead(mu=7), CrossEntropyHead(), ArcFaceHead(margin=0.3, scale=16)]
)
def test_every_head_survives_its_json(head: HeadConfig) -> None:
    config = TrialConfig(head=head)
    again = TrialConfig.model_validate_json(config.model_dump_json())
    assert again == config
    assert type(again.head) is type(head)


def test_a_trial_gets_the_scores_that_its_head_can_give() -> None:
    asked = ("nll", "knn", "cosine")
    assert TrialConfig(scores=asked).score_types == asked
    for head in (CrossEntropyHead(), ArcFaceHead()):
        assert TrialConfig(head=head, scores=asked).score_types == ("knn", "cosine")


def test_a_head_that_can_give_no_score_asked_for_is_refused() -> None:
    with pytest.raises(
        ValidationError, match="a cross_entropy head can't give scores: nll; add one, such as"
    ):
        TrialConfig(head=CrossEntropyHead(), scores=("nll",))


@pytest.mark.parametrize("scores", [("fusion",), ("nll", "fusion"), ("fusion", "nll", "nll")])
def test_fusion_of_fewer_than_two_is_refused(scores: tuple[ScoreName, ...]) -> None:
    with pytest.raises(ValidationError, match=f"fusion needs two other .* got scores: {', '.join(scores)}"):
        TrialConfig(scores=scores)


def test_fusion_is_given_where_the_head_gives_two_others() -> None:
    asked: tuple[ScoreName, ...] = ("nll", "fusion", "cosine")
    variational, plain = TrialConfig(scores=asked), TrialConfig(head=CrossEntropyHead(), scores=asked)
    assert (variational.score_types, variational.base_types) == (asked, ("nll", "cosine"))
    assert plain.score_types == plain.base_types == ("cosine",)
    three = TrialConfig(head=ArcFaceHead(), scores=("knn", *asked))
    assert three.score_types == ("knn", "fusion", "cosine")
