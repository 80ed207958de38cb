"""Trees of settings: their branches by dotted names."""

from typing import Any

from humtune.config import set_path


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
