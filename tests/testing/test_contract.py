"""The contract runs over every family, head and score type; and it finds what breaks it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from encoders import LOG_MEL, SAMPLES, onnx_encoder, program_encoder

from humtune import plugins
from humtune.config import Domains
from humtune.detectors.detector import Detector
from humtune.detectors.fit import Fit
from humtune.detectors.recipe import Recipe, recipe_of
from humtune.scores.encoded import Encoded
from humtune.sounds.bank import ClipBank
from humtune.testing import contract
from humtune.testing.recordings import small_bank, taught

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

SPECTROGRAM = {"n_fft": 256, "chunk_frames": 64, "n_mels": 32}
CLASSIFIER = {
    "spectrogram": SPECTROGRAM,
    "backbone": {"width": 0.125, "embedding": 16},
    "training": {"epochs": 2, "batch_size": 8},
}
FRAMES: dict[str, Any] = {"spectrogram": SPECTROGRAM, "epochs": 2, "hidden": 16, "layers": 2}
FAMILIES: dict[str, dict[str, Any]] = {
    "classifier": CLASSIFIER,
    "autoencoder": FRAMES,
    "vae": FRAMES,
    "flow": FRAMES | {"frames": 2, "transforms": 2},
    "made": FRAMES | {"frames": 2, "group": 8},
    "gaussian_mixture": {"n_fft": 256, "n_mels": 32, "pooling": "gwrp"},
    "pretrained": {"pooling": "mean_deviation", "layers": (-1, 0)},
    "distilled": {
        "spectrogram": SPECTROGRAM,
        "backbone": {"width": 0.125, "embedding": 16},
        "teachers": 3,
        "epochs": 2,
        "batch_size": 8,
    },
    "noop": {"steps": 3, "blur": 0.5},
}
OTHER_WAYS = {
    "exposure": {
        **CLASSIFIER,
        "head": {"kind": "exposure", "features": "all"},
        "scores": ["own", "knn", "gmm"],
        "scoring": {"pool": "section"},
    },
    "adacos": {**CLASSIFIER, "head": {"kind": "adacos", "sub_clusters": 1, "scale": "adaptive"}},
    "trained subspaces": {
        **CLASSIFIER,
        "head": {"kind": "adaproj", "dimensions": 3, "subspaces": "trainable"},
    },
    "idnn": {"family": "autoencoder", **FRAMES, "rebuild": "middle"},
    "autoregressive": {
        "family": "flow",
        **FRAMES,
        "frames": 2,
        "transforms": 2,
        "transform": "autoregressive",
    },
    "segments": {"family": "flow", **FRAMES, "frames": 1, "transforms": 2, "segment": 8, "whiten": False},
}
PARTS = {"spectrogram": plugins.FRONTEND, "backbone": plugins.BACKBONE, "head": plugins.HEAD}
WAVEFORM = {"kind": "waveform", "chunk_frames": 16, "frame_samples": 128}
TOGETHER: dict[str, dict[str, Any]] = {  # what goes only with another part, and what keeps it small
    "xvector": {"backbone": {"channels": 8, "embedding": 16}},
    "wavenet": {
        "spectrogram": WAVEFORM,
        "backbone": {"channels": 4, "skip": 8, "layers": 4, "stacks": 1, "embedding": 16},
    },
    "attributes": {"labels": "both"},
    "adaproj": {"head": {"dimensions": 4}},
    "se_resnet": {"backbone": {"channels": 4, "embedding": 16}},
    "branches": {
        "spectrogram": {"kind": "multiresolution", "chunk_frames": 20, "n_ffts": [128, 512]},
        "backbone": {"channels": 4, "embedding": 16},
    },
    "stgram": {"spectrogram": SPECTROGRAM | {"kind": "spectrogram_and_waveform"}},
    "pretrained": {
        "spectrogram": WAVEFORM | {"kind": "raw_waveform"},
        "backbone": {"tune": "whole", "embedding": 16},
    },
}
TRIED_WITH = {  # front ends and their backbones
    "waveform": "wavenet",
    "spectrogram_and_waveform": "stgram",
    "multiresolution": "branches",
    "raw_waveform": "pretrained",
}
OTHER_PARTS = [
    (part, kind)
    for part, what in PARTS.items()
    for kind in list(plugins.BUILT_IN[what])[1:]
    if kind not in TRIED_WITH
]
WITHOUT_CLASSES = [family for family in FAMILIES if family != "classifier"]


@pytest.fixture(scope="module")
def bank() -> ClipBank:
    return small_bank()


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Settings of every family, with an encoder for the one that wants it."""
    weights = onnx_encoder(tmp_path_factory.mktemp("encoder"), input=LOG_MEL, rate=22_050, overlap=0.5)
    trees = {family: tree | {"family": family} for family, tree in FAMILIES.items()}
    return trees | {"pretrained": trees["pretrained"] | {"weights": str(weights)}}


def every_score(tree: dict[str, Any]) -> dict[str, Any]:
    """The recipe with every score type that it can give."""
    return tree | {"scores": list(recipe_of(tree | {"scores": list(plugins.BUILT_IN["score"])}).score_types)}


def test_every_family_is_tried() -> None:
    assert set(FAMILIES) == set(plugins.BUILT_IN[plugins.FAMILY])


@pytest.mark.parametrize("family", plugins.BUILT_IN[plugins.FAMILY])
def test_every_family_keeps_the_contract_with_every_score_type(
    family: str, families: dict[str, dict[str, Any]], bank: ClipBank
) -> None:
    contract.check_recipe(recipe_of(every_score(families[family])), bank)


@pytest.mark.parametrize("seconds", [0.2, 0.7])  # shorter than a block, and several blocks
@pytest.mark.parametrize("encoder", [onnx_encoder, program_encoder])
def test_encoders_of_samples_keep_the_contract(
    encoder: Callable[..., Path], seconds: float, tmp_path: Path
) -> None:
    weights = encoder(tmp_path, rate=8000, input=SAMPLES | {"level": "peak"})
    recipe = recipe_of({"family": "pretrained", "weights": str(weights), "scores": ["knn_normalised"]})
    contract.check_recipe(recipe, small_bank(seconds=seconds))


@pytest.mark.parametrize("way", OTHER_WAYS)
def test_every_other_way_of_a_family_keeps_the_contract(way: str, bank: ClipBank) -> None:
    contract.check_recipe(recipe_of(OTHER_WAYS[way]), bank)


@pytest.mark.parametrize(("part", "kind"), OTHER_PARTS)
def test_every_other_part_of_a_classifier_keeps_the_contract(
    part: str, kind: str, bank: ClipBank, tmp_path: Path
) -> None:
    tree = CLASSIFIER | TOGETHER.get(kind, {}) | {"scores": ["cosine"]}
    settings = (tree if part == "backbone" else TOGETHER.get(kind, {})).get(part, {})
    if kind == "pretrained":
        settings = settings | {"weights": str(program_encoder(tmp_path, rate=8000))}
    contract.check_recipe(recipe_of(tree | {part: settings | {"kind": kind}}), bank)


@pytest.mark.parametrize("domains", get_args(Domains))
@pytest.mark.parametrize("clusters", [None, 4])
def test_domains_and_made_references_keep_the_contract(
    domains: str, clusters: int | None, bank: ClipBank
) -> None:
    tree = FAMILIES["gaussian_mixture"] | {
        "family": "gaussian_mixture",
        "scores": ["own", "cosine", "lof", "gmm"],
    }
    scoring = {"domains": domains, "smote": 0.8, "source_clusters": clusters}
    contract.check_recipe(recipe_of(tree | {"scoring": scoring}), bank)


def test_every_front_end_is_tried() -> None:
    assert {"spectrogram", *TRIED_WITH} == set(plugins.BUILT_IN[plugins.FRONTEND])
    assert {TOGETHER[backbone]["spectrogram"]["kind"] for backbone in TRIED_WITH.values()} == set(TRIED_WITH)


@pytest.mark.parametrize("family", WITHOUT_CLASSES)
def test_a_folder_of_one_section_without_attributes_is_enough(
    family: str, families: dict[str, dict[str, Any]]
) -> None:
    recipe = recipe_of(families[family])
    bank = small_bank(sections=1, attributes=False)
    if recipe.taught:
        bank = taught(bank, recipe.taught)
    recipe.check(bank.table, bank.lengths)
    contract.check_scores(contract.run(recipe, bank), bank)


@pytest.mark.parametrize("covariance", ["full", "tied", "diag", "spherical"])
def test_every_covariance_of_a_mixture_scores_as_scikit_learn_does(covariance: str, bank: ClipBank) -> None:
    from sklearn.mixture import GaussianMixture

    recipe = recipe_of(
        FAMILIES["gaussian_mixture"] | {"family": "gaussian_mixture", "covariance": covariance}
    )
    detector = contract.run(recipe, bank)
    train = bank.table.having("train")
    pooled = detector.encoder.pooled(bank, train).double().numpy()
    z = (pooled - pooled.mean(axis=0)) / pooled.std(axis=0)
    model = GaussianMixture(2, covariance_type=covariance, reg_covar=1e-3, random_state=0).fit(z)
    found = detector.score(detector.encode(bank, train))["own"]
    np.testing.assert_allclose(found, -model.score_samples(z), rtol=1e-9)


def test_the_likeliest_gaussian_of_a_mixture_alone_scores_and_leaves_as_a_graph(bank: ClipBank) -> None:
    tree = FAMILIES["gaussian_mixture"] | {"family": "gaussian_mixture"}
    detector = contract.run(recipe_of(tree | {"likelihood": "component"}), bank)
    assert contract.check_graph(detector, bank) is None
    z = detector.encode(bank, bank.table.having("train")).embedding.double()
    each = []
    for centre, whitener in zip(detector.encoder.centres, detector.encoder.whiteners, strict=True):
        covariance = torch.linalg.inv(whitener @ whitener.T)
        each.append(torch.distributions.MultivariateNormal(centre, covariance).log_prob(z))
    found = detector.score(detector.encode(bank, bank.table.having("train")))["own"]
    np.testing.assert_allclose(found, -torch.stack(each).amax(dim=0), rtol=1e-4)


def test_a_rank_pooling_that_weighs_all_frames_alike_is_their_mean(bank: ClipBank) -> None:
    tree = {"family": "gaussian_mixture", "n_fft": 256, "n_mels": 32}
    mean, ranked = (
        recipe_of(tree | settings).build(()).pooled(bank, bank.table.having("train"))
        for settings in ({"pooling": "mean"}, {"pooling": "gwrp", "decay": 1})
    )
    torch.testing.assert_close(mean, ranked)


def broken(tree: dict[str, Any], **methods: Callable[..., Any]) -> Recipe:
    """A noop that breaks a promise: its fit has other methods."""
    from humtune.detectors.noop import Noop, NoopFit

    fit = type("BrokenFit", (NoopFit,), methods)

    class Broken(Noop):
        def start(self, bank: ClipBank, **how: Any) -> Any:
            return fit(self, bank, self.build(()))

    return Broken.model_validate(tree)


def test_a_fit_that_forgets_on_resume_is_found(bank: ClipBank) -> None:
    def forget(self: Any, state: bytes) -> None:
        self.done = 0

    recipe = broken({"steps": 4}, restore=forget)
    with pytest.raises(AssertionError, match="restored after 2 steps, the fit says it has done 0"):
        contract.check_resume(recipe, bank, contract.run(recipe, bank))


def test_a_fit_that_throws_dice_is_found(bank: ClipBank) -> None:
    def finish(self: Any) -> Detector:
        self.encoder.centre += torch.rand(())
        return Fit.finish(self)

    with pytest.raises(AssertionError, match="the same recipe and recordings, fitted twice: own scores"):
        contract.check_same_seed(broken({}, finish=finish), bank)


def test_a_step_that_gives_nan_is_found(bank: ClipBank) -> None:
    def step(self: Any) -> dict[str, float]:
        self.done += 1
        return {"loss": float("nan")}

    with pytest.raises(AssertionError, match=r"step 1 says \{'loss': nan\}"):
        contract.run(broken({}, step=step), bank)


def test_a_graph_that_scores_otherwise_is_found(bank: ClipBank, monkeypatch: pytest.MonkeyPatch) -> None:
    from humtune.detectors.noop import LevelEncoder

    detector = contract.run(recipe_of({"family": "noop"}), bank)
    graph = LevelEncoder.graph

    def louder(self: LevelEncoder) -> Any:
        def read(levels: torch.Tensor) -> Encoded:
            return self.read(levels + 1)

        return replace(graph(self), read=read)

    monkeypatch.setattr(LevelEncoder, "graph", louder)
    with pytest.raises(AssertionError, match="own: the graph's sum of them is off by"):
        contract.check_graph(detector, bank)


def test_a_family_without_a_graph_says_why(bank: ClipBank, monkeypatch: pytest.MonkeyPatch) -> None:
    from humtune.detectors.encoder import Encoder
    from humtune.detectors.noop import LevelEncoder

    detector = contract.run(recipe_of({"family": "noop"}), bank)
    monkeypatch.setattr(LevelEncoder, "graph", Encoder.graph)
    reason = contract.check_graph(detector, bank)
    assert reason == "the family noop can't be exported: it doesn't say how it becomes a graph"
