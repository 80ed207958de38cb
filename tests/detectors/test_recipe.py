"""Recipes: what they refuse, that a classifier's defaults are the paper's, and what comes from outside."""

import json
from typing import Any

import numpy as np
import pytest
from outside_parts import BACKBONE, FAMILY, HEAD, SCORE, Averaging, Farthest, Prototypes, Short
from pydantic import ValidationError

from humtune.config import Output, set_path
from humtune.detectors.classifier.backbones import MobileFaceNet
from humtune.detectors.classifier.fit import Training
from humtune.detectors.classifier.heads import ArcFaceHead, CrossEntropyHead, Head, VariationalHead
from humtune.detectors.classifier.recipe import Classifier
from humtune.detectors.detector import Detector
from humtune.detectors.frontends import Spectrogram
from humtune.detectors.recipe import Scoring, recipe_of
from humtune.records import TrialRecord
from humtune.scores.distances import Cosine
from humtune.scores.neighbours import NearestNeighbours, NormalisedNeighbours
from humtune.sounds.bank import ClipBank
from humtune.sounds.table import Role

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
        Classifier.model_validate(tree)


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
        Classifier.model_validate(tree)
    assert path.split(".")[0] in str(caught.value)


def test_an_odd_window_is_told_with_its_length() -> None:
    with pytest.raises(ValidationError, match="n_fft must be even, got 255"):
        Spectrogram(n_fft=255)


@pytest.mark.parametrize(
    "value", [Classifier(), Spectrogram(), MobileFaceNet(), VariationalHead(), Training()]
)
def test_a_recipe_cannot_be_changed(value: Any) -> None:
    name = next(iter(type(value).model_fields))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(value, name, getattr(value, name))


def test_defaults_are_the_papers() -> None:
    recipe = Classifier()
    toycar = Spectrogram(n_fft=256, chunk_frames=512, n_mels=256, db=True)  # Table 2
    assert recipe.spectrogram == toycar
    assert recipe.backbone == MobileFaceNet(width=1, activation="relu", embedding=128)  # Table 1
    assert isinstance(recipe.head, VariationalHead)
    assert recipe.head.beta_class == 1
    training = recipe.training  # §4.1
    assert (training.epochs, training.batch_size, training.learning_rate) == (50, 64, 1e-3)
    assert (training.decay, training.mixup, training.chunks_per_clip) == (0.2, 0.8, 5)
    assert training.warmup * training.epochs == 10
    assert [share * training.epochs for share in training.milestones] == [25, 40]
    assert recipe.scores == ("cosine", "nll")
    assert recipe.labels == "auto"


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
    assert spectrogram.hop_samples == n_fft // 2
    assert spectrogram.bins == bins
    assert spectrogram.frames(CLIP) == 1 + CLIP // (n_fft // 2)
    assert spectrogram.chunk_samples == chunk * spectrogram.hop_samples + spectrogram.hop_samples
    if mels:
        assert (
            chunk * spectrogram.hop_samples / 16_000 == 4.096
        )  # s: every mel row of the table spans the same time


def test_a_recipe_survives_its_json() -> None:
    recipe = Classifier(
        spectrogram=Spectrogram(n_mels=None, db=False),
        head=VariationalHead(mu=1 / 3, sigma2=0.1),
        training=Training(milestones=(0.1,)),
        labels="both",
        scores=("nll",),
        seed=7,
    )
    assert Classifier.model_validate_json(recipe.model_dump_json()) == recipe


def test_a_head_without_a_kind_is_variational() -> None:
    for tree in ({}, {"mu": 10}):
        recipe = Classifier.model_validate({"head": tree})
        assert recipe.head == VariationalHead(**tree)


@pytest.mark.parametrize(
    "head", [VariationalHead(mu=7), CrossEntropyHead(), ArcFaceHead(margin=0.3, scale=16)]
)
def test_every_head_survives_its_json(head: Head) -> None:
    recipe = Classifier(head=head)
    again = Classifier.model_validate_json(recipe.model_dump_json())
    assert again == recipe
    assert type(again.head) is type(head)


def test_a_part_without_a_kind_is_of_humtunes_first() -> None:
    recipe = recipe_of({"spectrogram": {"n_fft": 512}, "backbone": {"width": 2}})
    assert recipe == Classifier(spectrogram=Spectrogram(n_fft=512), backbone=MobileFaceNet(width=2))


# --- families


def test_a_tree_without_a_family_is_a_classifiers() -> None:
    tree = {"head": {"mu": 7}, "seed": 3}
    wanted = Classifier(head=VariationalHead(mu=7), seed=3)
    assert recipe_of(tree) == recipe_of(tree | {"family": "classifier"}) == wanted
    assert tree == {"head": {"mu": 7}, "seed": 3}


@pytest.mark.parametrize("family", ["clasifier", 3, None])
def test_an_unknown_family_is_told_with_those_there_are(family: Any) -> None:
    with pytest.raises(ValidationError, match=r"there is no family .*; there are classifier, ") as caught:
        recipe_of({"family": family})
    [error] = caught.value.errors()
    assert error["loc"] == ("family",)


def test_a_family_from_outside_has_its_own_settings_and_survives_its_json() -> None:
    tree = {"family": FAMILY, "share": 0.25, "training": {"epochs": 8}}
    recipe = recipe_of(tree)
    assert isinstance(recipe, Short)
    assert recipe.budget == 2
    again = recipe_of(json.loads(recipe.model_dump_json()))
    assert again == recipe
    assert type(again) is Short
    with pytest.raises(ValidationError, match="shares"):
        recipe_of({"family": FAMILY, "shares": 0.25})
    with pytest.raises(ValidationError, match="share"):
        recipe_of({"share": 0.25})


OLD_RECORD = """{
  "id": "fan-00003", "machine": "fan", "number": 3, "origin": "sampler",
  "params": {"head.mu": 10.0, "spectrogram": "wide"},
  "config": {
    "spectrogram": {"n_fft": 512, "chunk_frames": 128, "n_mels": null, "db": false},
    "backbone": {"width": 0.5, "activation": "prelu", "embedding": 64},
    "head": {"kind": "variational", "mu": 10.0, "sigma2": 0.5, "beta_class": 1.0},
    "training": {
      "epochs": 4, "batch_size": 32, "chunks_per_clip": 5, "learning_rate": 0.001, "warmup": 0.2,
      "milestones": [0.5, 0.8], "decay": 0.2, "mixup": 0.8, "mask_time": 0.1, "mask_frequency": 0.1
    },
    "labels": "both",
    "scores": ["cosine", "nll", "fusion"],
    "scoring": {"pool": "section", "aggregation": "max", "neighbours": 3},
    "seed": 7
  },
  "state": "running", "reason": null, "started": 1700000000.0, "ended": null, "seconds": 0.0, "epochs": [],
  "continued": [], "judged_by": "omega", "omega": {}, "pseudo": {}, "data_hash": "", "version": "0.1.0",
  "host": "", "device": "", "acceleration": null
}"""


def test_the_record_of_an_old_trial_is_read_and_its_recipe_is_the_same() -> None:
    record = TrialRecord.model_validate_json(OLD_RECORD)
    assert record.seed == 7
    assert record.settings["head.mu"] == 10.0
    assert record.settings["training.milestones"] == [0.5, 0.8]
    assert recipe_of(record.config) == Classifier(
        spectrogram=Spectrogram(n_fft=512, chunk_frames=128, n_mels=None, db=False),
        backbone=MobileFaceNet(width=0.5, activation="prelu", embedding=64),
        head=VariationalHead(mu=10, sigma2=0.5),
        training=Training(epochs=4, batch_size=32),
        labels="both",
        scores=("cosine", "nll", "fusion"),
        scoring=Scoring(pool="section", aggregation="max", neighbours=3),
        seed=7,
    )


# --- parts from outside


def test_a_part_from_outside_has_its_own_settings_and_survives_its_json() -> None:
    tree = {"head": {"kind": HEAD, "sharpness": 0.5}, "backbone": {"kind": BACKBONE, "embedding": 16}}
    recipe = recipe_of(tree | {"scores": ["cosine", SCORE]})
    assert recipe.head == Prototypes(sharpness=0.5)
    assert recipe.backbone == Averaging(embedding=16)
    assert recipe.size == "256×512, outside_parts:Averaging, bias True, batch 64"
    again = recipe_of(json.loads(recipe.model_dump_json()))
    assert again == recipe
    assert (type(again.head), type(again.backbone)) == (Prototypes, Averaging)
    assert again.score_types == ("cosine", SCORE)


@pytest.mark.parametrize(
    ("tree", "place"),
    [
        ({"head": {"kind": HEAD, "sharpnes": 1}}, ("head", "sharpnes")),
        ({"head": {"kind": HEAD, "mu": 5}}, ("head", "mu")),
        ({"head": {"kind": HEAD, "sharpness": 0}}, ("head", "sharpness")),
        ({"backbone": {"kind": BACKBONE, "width": 2}}, ("backbone", "width")),
        ({"scoring": {"knn": {"neighbors": 3}}}, ("scoring", "knn", "neighbors")),
    ],
)
def test_what_a_part_does_not_know_is_told_with_its_whole_name(
    tree: dict[str, Any], place: tuple[str, ...]
) -> None:
    with pytest.raises(ValidationError) as caught:
        recipe_of(tree)
    [error] = caught.value.errors()
    assert error["loc"] == place


@pytest.mark.parametrize("branch", ["spectrogram", "backbone", "head"])
def test_a_kind_that_cannot_be_imported_is_told_in_one_sentence(branch: str) -> None:
    with pytest.raises(ValidationError) as caught:
        recipe_of({branch: {"kind": "outside_parts:Gone"}})
    [error] = caught.value.errors()
    assert error["loc"] == (branch,)
    assert "'outside_parts:Gone' can't be imported: module 'outside_parts' has no attribute" in error["msg"]


def test_a_detector_of_parts_from_outside_trains_scores_and_comes_back(
    small: Classifier, bank: ClipBank
) -> None:
    parts = {"head": {"kind": HEAD}, "backbone": {"kind": BACKBONE}, "scores": ["nll", SCORE, "neg_logit"]}
    run = recipe_of(small.model_dump() | parts).start(bank)
    losses = [run.step()["loss"] for _ in range(3)]
    assert losses[2] < losses[0]
    detector, clips = run.finish(), bank.table.having(Role.SELECT)
    again = Detector.from_bytes(detector.to_bytes())
    again.load_reference(detector.reference_bytes())
    assert again.recipe == run.recipe
    wanted, found = (d.score(d.encode(bank, clips)) for d in (detector, again))
    assert tuple(found) == (SCORE, "neg_logit")  # the head gives no variances
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


# --- scores


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("own", "smote", 0.2),
        ("own", "pool", "section"),
        ("neg_logit", "domains", "apart"),
        ("neg_log_prob", "source_clusters", 16),
    ],
)
def test_a_setting_that_changes_nothing_of_a_score_type_is_refused(name: str, key: str, value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        recipe_of({"scoring": {name: {key: value}}})
    [error] = caught.value.errors()
    assert error["loc"] == ("scoring", name, key)
    assert error["msg"] == f"Value error, changes nothing, {name} compares no embeddings; leave it out"
    shared = Scoring.model_validate({key: value, name: {}})  # as a record has it, in full
    assert Scoring.model_validate_json(shared.model_dump_json()) == shared
    default = Scoring.model_validate({name: {}})
    assert Scoring.model_validate_json(default.model_dump_json()) == default


def test_a_score_types_own_setting_goes_before_the_shared_one() -> None:
    scoring = recipe_of({"scoring": {"neighbours": 7, "knn": {"neighbours": 2}}}).scoring
    assert scoring.of("knn") == NearestNeighbours(neighbours=2)
    assert scoring.of("knn_normalised") == NormalisedNeighbours(neighbours=7)
    assert scoring.of(SCORE) == Farthest(neighbours=7)
    assert scoring.of("cosine") == Cosine()
    again = Scoring.model_validate_json(scoring.model_dump_json())
    assert again == scoring
    assert again.of("knn") == scoring.of("knn")


@pytest.mark.parametrize(
    ("scoring", "place", "kind"),
    [
        ({"knm": {"neighbours": 3}}, ("scoring", "knm"), "extra_forbidden"),
        ({"k": 3}, ("scoring", "k"), "extra_forbidden"),
        ({"neighbors": 3}, ("scoring", "neighbors"), "extra_forbidden"),
        ({"knn": {"neighbors": 3}}, ("scoring", "knn", "neighbors"), "extra_forbidden"),
        ({"cosine": {"neighbours": 3}}, ("scoring", "cosine", "neighbours"), "extra_forbidden"),
        ({"knn": {"neighbours": 0}}, ("scoring", "knn", "neighbours"), "greater_than_equal"),
        ({"knn": {"neighbours": True}}, ("scoring", "knn", "neighbours"), "value_error"),
        ({"knn": 3}, ("scoring", "knn"), "model_type"),
        ({"outside_parts:Gone": {}}, ("scoring",), "value_error"),
    ],
)
def test_a_score_types_wrong_setting_is_told_with_its_whole_name(
    scoring: dict[str, Any], place: tuple[str, ...], kind: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        recipe_of({"scoring": scoring})
    [error] = caught.value.errors()
    assert (error["loc"], error["type"]) == (place, kind)


def test_an_unknown_score_type_is_told_with_those_there_are() -> None:
    with pytest.raises(ValidationError, match=r"there is no score 'cosin'; there are cosine, nll, "):
        recipe_of({"scores": ["cosin"]})


def test_what_heads_give() -> None:
    plain = frozenset({Output.EMBEDDING, Output.LOGITS})
    assert Classifier().gives == plain | {Output.VARIANCE}
    for head in (CrossEntropyHead(), ArcFaceHead(), Prototypes()):
        assert Classifier(head=head).gives == plain


def test_a_trial_gets_the_scores_that_its_head_can_give() -> None:
    asked = ("nll", "knn", "cosine")
    assert Classifier(scores=asked).score_types == asked
    for head in (CrossEntropyHead(), ArcFaceHead()):
        assert Classifier(head=head, scores=asked).score_types == ("knn", "cosine")


def test_a_head_that_can_give_no_score_asked_for_is_refused() -> None:
    with pytest.raises(
        ValidationError, match="a cross_entropy head can't give scores: nll; add one, such as cosine"
    ):
        Classifier(head=CrossEntropyHead(), scores=("nll",))
    with pytest.raises(ValidationError, match="can't give scores: own; add one, such as cosine"):
        Classifier(scores=("own",))  # a classifier has no score of its own


@pytest.mark.parametrize("scores", [("fusion",), ("nll", "fusion"), ("fusion", "nll", "nll")])
def test_fusion_of_fewer_than_two_is_refused(scores: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError, match=f"fusion needs two other .* got scores: {', '.join(scores)}"):
        Classifier(scores=scores)


def test_scores_that_are_joined_must_be_given_themselves() -> None:
    """Asked for are two others, but the head gives one: there is nothing to join."""
    recipe = Classifier(head=CrossEntropyHead(), scores=("fusion", "nll", "knn"))
    assert recipe.score_types == ("knn",)


def test_fusion_is_given_where_the_head_gives_two_others() -> None:
    asked: tuple[str, ...] = ("nll", "fusion", "cosine")
    variational, plain = Classifier(scores=asked), Classifier(head=CrossEntropyHead(), scores=asked)
    assert (variational.score_types, variational.base_types) == (asked, ("nll", "cosine"))
    assert plain.score_types == plain.base_types == ("cosine",)
    three = Classifier(head=ArcFaceHead(), scores=("knn", *asked))
    assert three.score_types == ("knn", "fusion", "cosine")


def test_what_a_score_types_own_branch_does_not_name_is_shared() -> None:
    scoring = Scoring.model_validate({"neighbours": 7, "knn": {}})
    assert scoring.of("knn").neighbours == 7
    assert Scoring.model_validate_json(scoring.model_dump_json()) == scoring
