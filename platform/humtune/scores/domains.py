"""Source and target references apart, or the source's alone; fewer of the one, more of the few of the other.

Around any score of embeddings.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from pydantic import SerializeAsAny
from torch import Tensor, nn
from torch.nn import functional as F

from humtune.metrics.calibration import Standard
from humtune.scores.base import FittedScore, Score
from humtune.scores.encoded import Encoded
from humtune.sounds.table import TARGET

FOLDS = 20  # parts of a domain's clips that are left out in turn: of twenty clips or fewer each by itself


class ByDomain(Score):
    """Another score, fitted to source and target references apart: the least of both counts.

    Where domains are `standardised`, each of both scores is first brought to mean 0 and deviation 1 over its
    own references, as they score without their fold of clips: what is usual in one domain then doesn't
    judge the other. Where they are `pooled`, the score is fitted to all references at once, where it is
    `source`, to the source's alone, or to all where there are none. With a share
    `smote` the target's references are filled up to that share of the source's by rows that lie between
    two of them; with `source_clusters` the source's are drawn together to so many. The share is of those
    that there were before: of few centres it would be less than what the target has as it is. References of
    an unknown domain count as the source's.
    """

    score: SerializeAsAny[Score]
    seed: int = 0

    def fit(self, reference: Encoded) -> FittedScore:
        """Against these references; of one set of them as they are, the score itself."""
        if reference.domain is None:
            return self.score.fit(reference)
        if self.source_clusters or self.domains in ("apart", "standardised"):
            return DomainScore(self, reference)
        if self.domains == "source":
            return self.score.fit(_source(reference))
        return DomainScore(self, reference) if self.smote else self.score.fit(reference)

    def parts(self, reference: Encoded) -> list[Encoded]:
        """The references that a score each is fitted to: all as one where a domain has too few clips."""
        target = _target(reference)
        parts = [reference.take(~target), reference.take(target)]
        fewest = min(len(_clips(part)) for part in parts)
        if self.domains == "source":
            return [_source(reference)]
        if self.domains == "pooled" or fewest < (2 if self.domains == "standardised" else 1):
            return [reference]
        return parts


class DomainScore(FittedScore):
    """The least of the scores against each domain's references."""

    settings: ByDomain
    mean: Tensor
    spread: Tensor

    def __init__(self, settings: ByDomain, reference: Encoded) -> None:
        super().__init__(settings, reference)
        self.wanted = int(settings.smote * int((~_target(reference)).sum()))
        parts = settings.parts(reference)
        self.scores = nn.ModuleList(self._fitted(part) for part in parts)
        scales = [self._scale(part) for part in parts]
        device = reference.embedding.device
        for name in ("mean", "spread"):
            values = torch.tensor([getattr(scale, name) for scale in scales], dtype=torch.float64)
            self.register_buffer(name, values[:, None].to(device))

    def score(self, encoded: Encoded) -> Tensor:
        """The least."""
        scores = torch.stack([score(encoded) for score in self.scores])
        return ((scores - self.mean) / self.spread).amin(dim=0)

    def _fitted(self, part: Encoded) -> FittedScore:
        settings, target = self.settings, _target(part)
        missing = self.wanted - int(target.sum())
        made = between(part.take(target), missing, neighbours=settings.smote_neighbours, seed=settings.seed)
        if settings.source_clusters and not target.all():
            source = centres(part.take(~target), settings.source_clusters, seed=settings.seed)
            part = Encoded.joined([source, part.take(target)])
        return settings.score.fit(_with_made(part, made) if len(made) else part)

    def _scale(self, part: Encoded) -> Standard:
        """What the part's rows score without their fold."""
        assert part.clip is not None
        clips = _clips(part)
        if self.settings.domains != "standardised" or len(clips) < 2:
            return Standard(mean=0.0, spread=1.0)
        fold, scores = torch.searchsorted(clips, part.clip) % FOLDS, []
        for out in range(min(FOLDS, len(clips))):
            scores.append(self._fitted(part.take(fold != out)).score(part.take(fold == out)))
        return Standard.of(torch.cat(scores).cpu().numpy())


def between(rows: Encoded, count: int, *, neighbours: int, seed: int) -> Encoded:
    """So many rows, each at a random point between one of these and one of its nearest of other clips.

    That is SMOTE (Chawla et al. 2002). What isn't measured, as the label, is the first one's; the clip is
    none that there is. None where no other clip is.
    """
    if count <= 0 or len(_clips(rows)) < 2:
        return rows.take(slice(0))
    z, clip = rows.embedding.double(), rows.clip
    assert clip is not None
    own = clip[:, None] == clip
    distances = torch.cdist(z, z, compute_mode="donot_use_mm_for_euclid_dist")
    nearest = distances.masked_fill(own, torch.inf).argsort(dim=1, stable=True).cpu()
    there = (~own).sum(dim=1).clamp_max(neighbours).cpu().numpy()
    generator = np.random.default_rng(seed)
    first = generator.integers(len(rows), size=count)
    second = nearest[first, generator.integers(there[first])]
    share = torch.from_numpy(generator.random(count)).to(z.device)
    one, other = rows.take(torch.from_numpy(first).to(z.device)), rows.take(second.to(z.device))
    mixed: dict[str, Any] = {
        name: _mixed(values, other.columns[name], share)
        for name, values in one.columns.items()
        if values.is_floating_point()
    }
    return replace(one, **mixed, clip=-1 - torch.arange(count, device=z.device))


def centres(rows: Encoded, count: int, *, seed: int) -> Encoded:
    """So many rows in the place of these, each the mean of a cluster that k-means finds among directions.

    An embedding becomes as long as those of its cluster are on average. What isn't measured, as the label, is
    the first one's; the clip is none that there is. The rows as they are where no more are different.
    """
    from sklearn.cluster import KMeans  # here: trials without it start without its import time

    z = rows.embedding.double()
    lengths = z.norm(dim=1)
    unit = F.normalize(z, dim=1)
    points = unit.cpu().numpy()
    if len(np.unique(points, axis=0)) <= count:
        return rows
    found = KMeans(count, random_state=np.random.RandomState(seed % 2**32)).fit(points)
    member = torch.from_numpy(found.labels_).long().to(z.device)
    own = (member == torch.arange(count, device=z.device)[:, None]).double()
    share = own / own.sum(dim=1, keepdim=True)
    means: dict[str, Any] = {
        name: (share @ values.double().view(len(rows), -1)).view(count, *values.shape[1:]).to(values.dtype)
        for name, values in rows.columns.items()
        if values.is_floating_point() and name != "mean"
    }
    mean = (share @ unit * (share @ lengths)[:, None]).to(rows.embedding.dtype)
    first = rows.take(own.argmax(dim=1))
    return replace(first, **means, mean=mean, clip=-1 - torch.arange(count, device=z.device))


def _with_made(rows: Encoded, made: Encoded) -> Encoded:
    """Rows, and made ones behind them whose clips are below all of theirs: some of them may be made too."""
    assert rows.clip is not None
    assert made.clip is not None
    return Encoded.joined([rows, replace(made, clip=made.clip + rows.clip.amin().clamp_max(0))])


def _source(reference: Encoded) -> Encoded:
    """Those of the source; all where there are none."""
    source = ~_target(reference)
    return reference.take(source) if source.any() else reference


def _target(rows: Encoded) -> Tensor:
    assert rows.domain is not None
    return rows.domain == TARGET


def _clips(rows: Encoded) -> Tensor:
    assert rows.clip is not None
    clips: Tensor = torch.unique(rows.clip)
    return clips


def _mixed(one: Tensor, other: Tensor, share: Tensor) -> Tensor:
    share = share.view(-1, *(1,) * (one.ndim - 1))
    return one.double().lerp(other.double(), share).to(one.dtype)
