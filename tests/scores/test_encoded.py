"""Rows of what an encoder gives: chosen, joined, averaged; what it doesn't give stays away."""

import math
from dataclasses import replace

import pytest
import torch

from humtune.scores.encoded import Encoded, over_chunks


def rows(clips: int = 4, chunks: int = 5, k: int = 3) -> Encoded:
    generator = torch.Generator().manual_seed(0)
    count = clips * chunks
    return Encoded(
        mean=torch.randn(count, k, generator=generator),
        log_variance=torch.randn(count, k, generator=generator),
        clip=torch.arange(clips).repeat_interleave(chunks),
        section=torch.arange(clips).repeat_interleave(chunks) % 2,
        label=torch.arange(clips).repeat_interleave(chunks) % 3,
        score=torch.randn(count, generator=generator),
        chunks=chunks,
        classify=lambda z: 2 * z,
    )


def equal(one: Encoded, other: Encoded) -> bool:
    same = all(torch.equal(values, other.columns[name]) for name, values in one.columns.items())
    return same and one.columns.keys() == other.columns.keys() and one.chunks == other.chunks


def test_rows_are_counted_whatever_is_given() -> None:
    assert len(rows()) == 20
    assert len(Encoded(score=torch.zeros(7))) == 7


@pytest.mark.parametrize("chosen", [slice(5, 15), torch.arange(5, 15), torch.arange(20) // 5 % 3 > 0])
def test_rows_are_chosen_alike_in_every_column(chosen: torch.Tensor | slice) -> None:
    whole = rows()
    some = whole.take(chosen)
    assert some.columns.keys() == whole.columns.keys()
    for name, values in whole.columns.items():
        assert torch.equal(some.columns[name], values[chosen])
    assert torch.equal(some.logits, whole.logits[chosen])
    assert some.chunks == 5


def test_rows_that_were_parted_are_joined() -> None:
    whole = rows()
    assert equal(Encoded.joined([whole.take(slice(0, 5)), whole.take(slice(5, 20))]), whole)
    bare = Encoded(score=whole.score, chunks=1)
    assert equal(Encoded.joined([bare.take(slice(0, 3)), bare.take(slice(3, 20))]), bare)


def test_averaged_rows_are_one_a_clip() -> None:
    whole = rows()
    means = whole.averaged()
    assert (len(means), means.chunks) == (4, 1)
    for i in range(4):
        own = whole.take(slice(5 * i, 5 * i + 5))
        torch.testing.assert_close(means.mean[i], own.mean.mean(dim=0))
        torch.testing.assert_close(means.log_variance[i].exp(), own.log_variance.exp().mean(dim=0))
        torch.testing.assert_close(means.score[i], own.score.mean())
        for name in ("clip", "section", "label"):
            assert means.columns[name][i] == own.columns[name][0]
    torch.testing.assert_close(means.logits, over_chunks(whole.logits, 5))
    assert equal(means.averaged(), means)


def test_averaging_leaves_out_what_is_not_given() -> None:
    bare = replace(rows(), mean=None, log_variance=None, section=None)
    assert bare.averaged().columns.keys() == {"clip", "label", "score"}


def test_logits_are_those_of_float32_embeddings() -> None:
    seen: list[torch.dtype] = []
    whole = replace(rows(), classify=lambda z: seen.append(z.dtype) or z)
    replace(whole, mean=whole.mean.double()).logits  # noqa: B018
    assert seen == [torch.float32]


def test_means_over_chunks_keep_the_other_dimensions() -> None:
    values = torch.arange(24.0).view(6, 2, 2)
    found = over_chunks(values, 3)
    assert found.shape == (2, 2, 2)
    assert math.isclose(found[1, 0, 0], values[3:, 0, 0].mean())
