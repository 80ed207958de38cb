"""Pooled spectra, kept beside a bank for all trials with their settings."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from banks import opened_bank

from humtune.detectors.gaussian_mixture import MixtureEncoder
from humtune.detectors.recipe import recipe_of
from humtune.sounds.bank import ClipBank

SETTINGS: dict[str, Any] = {"family": "gaussian_mixture", "n_fft": 512, "n_mels": 16}


def encoder(**settings: Any) -> MixtureEncoder:
    found = recipe_of(SETTINGS | settings).build(())
    assert isinstance(found, MixtureEncoder)
    return found


@pytest.fixture
def bank(tmp_path: Path) -> ClipBank:
    return opened_bank(tmp_path)


def kept(bank: ClipBank) -> list[Path]:
    assert bank.place
    return sorted(bank.place.glob("pooled-*.npy"))


def silent(bank: ClipBank) -> ClipBank:
    """The bank with other samples: what then comes out right was not made of them."""
    return replace(bank, samples=np.zeros(len(bank.samples), np.int16))


SOME = np.array([7, 2, 30])


@pytest.mark.parametrize("pooling", ["mean", "max", "gwrp"])
def test_pooled_spectra_are_made_once_for_all_trials(bank: ClipBank, pooling: str) -> None:
    wanted = encoder(pooling=pooling).pooled(replace(bank, place=None), SOME)
    assert kept(bank) == []
    assert torch.equal(encoder(pooling=pooling).pooled(bank, SOME), wanted)
    assert len(kept(bank)) == 1
    other = encoder(pooling=pooling, components=1, covariance="diag", floor=0.1, seed=3)
    assert torch.equal(other.pooled(silent(bank), SOME), wanted)
    every = other.pooled(silent(bank), np.arange(len(bank.table)))
    assert torch.equal(every, other.pooled(replace(bank, place=None), np.arange(len(bank.table))))


def test_a_detector_is_the_same_from_what_was_kept(bank: ClipBank) -> None:
    recipe = recipe_of(SETTINGS | {"scores": ["own", "knn"]})
    clips = bank.table.having("select")
    detectors = [recipe.start(each).run() for each in (replace(bank, place=None), bank, silent(bank))]
    found = [d.score(d.encode(bank, clips)) for d in detectors]
    for other in found[1:]:
        assert all(np.array_equal(other[name], found[0][name]) for name in ("own", "knn"))


def test_other_settings_are_kept_apart(bank: ClipBank) -> None:
    ways = [{}, {"n_fft": 1024}, {"n_mels": 8}, {"pooling": "max"}]
    ways += [{"pooling": "gwrp", "decay": decay} for decay in (0.9, 0.5)]
    for count, settings in enumerate(ways, 1):
        found = encoder(**settings).pooled(bank, SOME)
        assert torch.equal(found, encoder(**settings).pooled(replace(bank, place=None), SOME))
        assert len(kept(bank)) == count
    encoder(decay=0.7).pooled(bank, SOME)  # the mean knows no decay
    assert len(kept(bank)) == len(ways)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY\x01\x00v\x00{'descr'", None])
def test_what_is_damaged_or_of_other_clips_is_made_again(bank: ClipBank, content: bytes | None) -> None:
    wanted = encoder().pooled(bank, SOME)
    (path,) = kept(bank)
    whole = path.read_bytes()
    if content is None:
        np.save(path, np.zeros((len(bank.table) - 1, 16), np.float32))
    else:
        path.write_bytes(content)
    assert torch.equal(encoder().pooled(bank, SOME), wanted)
    assert path.read_bytes() == whole


def test_a_folder_that_can_not_be_written_keeps_nothing(
    bank: ClipBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    from humtune.detectors import kept as keeping

    def refuse(path: Path, data: bytes) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(keeping, "write_whole", refuse)
    wanted = encoder().pooled(replace(bank, place=None), SOME)
    assert torch.equal(encoder().pooled(bank, SOME), wanted)
    assert kept(bank) == []
