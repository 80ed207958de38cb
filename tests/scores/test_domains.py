"""Domains apart, standardised and filled up, against scores of each domain by itself and a loop."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from humtune.detectors.recipe import Scoring
from humtune.plugins import BUILT_IN, SCORE
from humtune.scores import domains
from humtune.scores.base import Score
from humtune.scores.domains import ByDomain, DomainScore, between, centres
from humtune.scores.encoded import Encoded
from humtune.sounds.table import SOURCE, TARGET, UNKNOWN

K, CHUNKS, CLIPS = 6, 3, 16  # a quarter of the clips are of the target
SHARE = 0.6
TYPES = {name: Scoring(neighbours=2).of(name) for name in BUILT_IN[SCORE]}
SCORES = {
    name: score
    for name, score in TYPES.items()
    if isinstance(score, Score) and not score.by_section and name != "own"
}


def rows(clips: int = CLIPS, *, seed: int = 0, spread: float = 0.3) -> Encoded:
    """The source's clips about one axis, every fourth, the target's, about another and wider."""
    generator = torch.Generator().manual_seed(seed)
    clip = torch.arange(clips).repeat_interleave(CHUNKS)
    domain = torch.where(clip % 4 == 3, TARGET, SOURCE)
    noise = torch.randn(len(clip), K, generator=generator) * spread
    return Encoded(
        mean=2 * torch.eye(2, K)[domain] + noise * (1 + 2 * domain[:, None]),
        log_variance=torch.randn(len(clip), K, generator=generator) / 5,
        clip=clip,
        section=clip % 2,
        domain=domain,
        label=clip % 3,
        score=torch.randn(len(clip), generator=generator),
        chunks=CHUNKS,
    )


def by(score: Score, **settings: Any) -> ByDomain:
    return ByDomain(score=score, **settings)


def of_domain(reference: Encoded, domain: int) -> Encoded:
    assert reference.domain is not None
    return reference.take(reference.domain == domain)


def without(reference: Encoded, *clips: int) -> Encoded:
    assert reference.clip is not None
    return reference.take(~torch.isin(reference.clip, torch.tensor(clips)))


def filled(reference: Encoded, wanted: int, k: int = 3, seed: int = 0) -> Encoded:
    """SMOTE row by row: with made rows of the target after the others, until it has so many."""
    target = of_domain(reference, TARGET)
    z, clips = target.mean.double().numpy(), target.clip.tolist()
    missing = wanted - len(target)
    if missing <= 0 or len(set(clips)) < 2:
        return reference
    near = []
    for i, clip in enumerate(clips):
        others = [j for j in range(len(z)) if clips[j] != clip]
        near.append(sorted(others, key=lambda j: float(np.linalg.norm(z[j] - z[i])))[:k])
    generator = np.random.default_rng(seed)
    first = generator.integers(len(z), size=missing)
    second = [
        near[i][j] for i, j in zip(first, generator.integers([len(near[i]) for i in first]), strict=True)
    ]
    made = []
    for n, (i, j, share) in enumerate(zip(first, second, generator.random(missing), strict=True)):
        one, other = (target.take(slice(int(x), int(x) + 1)) for x in (i, j))
        mixed = {
            name: ((1 - share) * getattr(one, name).double() + share * getattr(other, name).double()).float()
            for name in ("mean", "log_variance", "score")
        }
        made.append(replace(one, **mixed, clip=torch.tensor([-1 - n])))
    return Encoded.joined([reference, *made])


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterable[None]:
    with torch.no_grad():
        yield


@pytest.mark.parametrize("name", SCORES)
def test_pooled_is_the_score_itself(name: str) -> None:
    reference, test = rows(), rows(seed=1)
    found = by(SCORES[name]).fit(reference)
    assert type(found) is type(SCORES[name].fit(reference))
    assert torch.equal(found(test), SCORES[name].fit(replace(reference, domain=None))(test))


@pytest.mark.parametrize("name", SCORES)
def test_apart_is_the_less_of_two_detectors(name: str) -> None:
    reference, test, score = rows(), rows(seed=1), SCORES[name]
    source, target = (score.fit(of_domain(reference, domain))(test) for domain in (SOURCE, TARGET))
    found = by(score, domains="apart").fit(reference)(test)
    assert torch.equal(found, torch.minimum(source, target))
    assert (found == source).any()
    assert (found == target).any()


@pytest.mark.parametrize("name", SCORES)
def test_of_the_source_alone_no_target_reference_counts(name: str) -> None:
    reference, test, score = rows(), rows(seed=1), SCORES[name]
    kept = [i for i, domain in enumerate(reference.domain.tolist()) if domain != TARGET]
    found = by(score, domains="source").fit(reference)
    assert torch.equal(found(test), score.fit(reference.take(torch.tensor(kept)))(test))
    moved = torch.where(reference.domain[:, None] == TARGET, 9 * reference.mean, reference.mean)
    assert torch.equal(by(score, domains="source").fit(replace(reference, mean=moved))(test), found(test))
    assert not torch.allclose(score.fit(reference)(test), found(test))


def test_neighbours_in_the_source_equal_a_loop() -> None:
    """Also of training clips, which are no neighbours of themselves, and of target ones among them."""
    reference = rows()
    found = by(SCORES["knn"], domains="source").fit(reference)(reference, mask_own=True)
    unit = [z / np.linalg.norm(z) for z in reference.mean.double().numpy()]
    columns = list(zip(unit, reference.clip.tolist(), reference.domain.tolist(), strict=True))
    for (z, clip, _), score in zip(columns, found.tolist(), strict=True):
        distances = [
            np.linalg.norm(z - r) for r, other, domain in columns if domain != TARGET and other != clip
        ]
        assert score == pytest.approx(np.mean(sorted(distances)[:2]), abs=1e-12)


def test_the_nearest_reference_is_the_same_apart() -> None:
    reference, test = rows(), rows(seed=1)
    apart = by(SCORES["cosine"], domains="apart").fit(reference)(test)
    torch.testing.assert_close(apart, SCORES["cosine"].fit(reference)(test), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize(("clips", "folds"), [(16, 20), (16, 5)])
def test_standardised_is_in_deviations_of_each_domains_own_left_out_clips(
    name: str, clips: int, folds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(domains, "FOLDS", folds)
    reference, test, score = rows(clips), rows(seed=1), SCORES[name]
    each = []
    for domain in (SOURCE, TARGET):
        own = of_domain(reference, domain)
        names = sorted(set(own.clip.tolist()))
        left = []
        for i in range(min(folds, len(names))):
            out = names[i::folds]
            scored = own.take(torch.isin(own.clip, torch.tensor(out)))
            left.append(score.fit(without(own, *out)).score(scored).numpy())
        usual = np.concatenate(left)
        assert usual.shape == (len(own),)
        each.append((score.fit(own)(test).numpy() - usual.mean()) / usual.std())
    found = by(score, domains="standardised").fit(reference)(test)
    np.testing.assert_allclose(found, np.minimum(*each), rtol=1e-9, atol=1e-9)


def test_standardised_what_is_usual_in_the_wide_domain_is_no_stranger() -> None:
    """Normal target clips lie far from each other; pooled, they look stranger than odd source clips."""
    reference, normal = rows(80), of_domain(rows(80, seed=1), TARGET)
    odd = of_domain(rows(80, seed=2), SOURCE)
    odd = replace(odd, mean=odd.mean + torch.tensor([0.0, 0, 0.8, 0, 0, 0]))
    margin = {}
    for how in ("pooled", "standardised"):
        score = by(SCORES["knn"], domains=how).fit(reference)
        margin[how] = float((score(odd)[:, None] > score(normal)).double().mean())
    assert margin["standardised"] > margin["pooled"] + 0.1


@pytest.mark.parametrize("k", [1, 3, 50])
@pytest.mark.parametrize("share", [SHARE, 1.0])
def test_smote_equals_a_loop(share: float, k: int) -> None:
    reference = rows()
    wanted = int(share * len(of_domain(reference, SOURCE)))
    score = by(SCORES["knn"], smote=share, smote_neighbours=k, seed=3).fit(reference)
    assert isinstance(score, DomainScore)
    [inner] = score.scores
    naive = filled(reference, wanted, k, seed=3)
    assert len(of_domain(inner.reference, TARGET)) == wanted
    assert inner.reference.columns.keys() == naive.columns.keys()
    for name, column in naive.columns.items():
        torch.testing.assert_close(inner.reference.columns[name], column)


def test_smote_of_the_target_apart_goes_by_the_sources_count() -> None:
    reference, test, score = rows(), rows(seed=1), SCORES["knn"]
    wanted = int(SHARE * len(of_domain(reference, SOURCE)))
    parts = (of_domain(reference, SOURCE), of_domain(filled(reference, wanted), TARGET))
    each = [score.fit(part)(test) for part in parts]
    found = by(score, domains="apart", smote=SHARE).fit(reference)(test)
    torch.testing.assert_close(found, torch.minimum(*each), rtol=1e-6, atol=1e-6)


def test_smote_makes_nothing_of_a_target_that_is_large_enough() -> None:
    reference = rows()
    [inner] = by(SCORES["knn"], smote=0.2).fit(reference).scores
    assert len(inner.reference) == len(reference)


def test_made_rows_lie_between_clips_and_are_of_none_and_the_seed_says_which() -> None:
    target = of_domain(rows(), TARGET)
    made = between(target, 40, neighbours=2, seed=0)
    assert len(made) == 40
    assert (made.domain == TARGET).all()
    assert not torch.isin(made.clip, target.clip).any()
    assert len(made.clip.unique()) == 40
    z = target.mean.double()
    for row in made.mean.double():
        ends = torch.cdist(row[None], z)[0]
        detour = (ends[:, None] + ends[None] - torch.cdist(z, z)) + 9 * (target.clip[:, None] == target.clip)
        assert float(detour.min()) < 1e-5
    assert torch.equal(made.mean, between(target, 40, neighbours=2, seed=0).mean)
    assert not torch.equal(made.mean, between(target, 40, neighbours=2, seed=1).mean)


def test_of_one_clip_nothing_is_made() -> None:
    one = rows(4)
    assert len(between(of_domain(one, TARGET), 9, neighbours=3, seed=0)) == 0
    assert torch.isfinite(by(SCORES["knn"], smote=1.0).fit(one)(rows(seed=1))).all()


def test_centres_are_where_k_means_comes_to_rest_and_as_long_as_their_rows() -> None:
    reference, count = of_domain(rows(), SOURCE), 3
    made = centres(reference, count, seed=0)
    lengths = np.linalg.norm(reference.mean.double().numpy(), axis=1)
    unit = reference.mean.double().numpy() / lengths[:, None]
    found = made.mean.double().numpy()
    nearest = (unit @ (found / np.linalg.norm(found, axis=1, keepdims=True)).T).argmax(axis=1)
    assert sorted(set(nearest)) == [0, 1, 2]
    for i in range(count):
        own = nearest == i
        np.testing.assert_allclose(
            found[i], unit[own].mean(axis=0) * lengths[own].mean(), rtol=1e-5, atol=1e-6
        )
        np.testing.assert_allclose(
            made.log_variance[i], reference.log_variance[own].mean(dim=0), rtol=1e-5, atol=1e-6
        )
    assert len(set(made.clip.tolist())) == count
    assert made.clip.max() < 0


def test_of_few_or_equal_rows_no_centres_are_made() -> None:
    few = of_domain(rows(8), TARGET)
    assert centres(few, 6, seed=0) is few
    copies = replace(few, mean=few.mean[:1].expand_as(few.mean))
    assert centres(copies, 1, seed=0) is copies


@pytest.mark.parametrize("name", ["cosine", "knn_normalised"])
@pytest.mark.parametrize("how", ["pooled", "apart", "source"])
def test_clusters_stand_for_the_source_and_the_target_stays(name: str, how: str) -> None:
    reference, test, score = rows(), rows(seed=1), SCORES[name]
    source, target = centres(of_domain(reference, SOURCE), 4, seed=0), of_domain(reference, TARGET)
    found = by(score, domains=how, source_clusters=4).fit(reference)(test)
    together = score.fit(Encoded.joined([source, target]))(test)
    apart = torch.minimum(score.fit(source)(test), score.fit(target)(test))
    wanted = {"pooled": together, "apart": apart, "source": score.fit(source)(test)}[how]
    torch.testing.assert_close(found, wanted)
    assert not torch.allclose(found, by(score, domains=how).fit(reference)(test))


@pytest.mark.parametrize("how", ["pooled", "apart", "standardised"])
def test_centres_and_made_rows_are_clips_of_their_own(how: str) -> None:
    """The share is of the source's rows before they are drawn together."""
    reference = rows()
    found = by(SCORES["knn"], domains=how, smote=SHARE, source_clusters=4).fit(reference)
    assert isinstance(found, DomainScore)
    fitted = [part.reference.clip.tolist() for part in found.scores]
    made = [clip for clips in fitted for clip in clips if clip < 0]
    missing = int(SHARE * len(of_domain(reference, SOURCE))) - len(of_domain(reference, TARGET))
    assert len(made) == 4 + missing
    for clips in fitted:
        own = [clip for clip in clips if clip < 0]
        assert len(set(own)) == len(own)


HOWS: list[dict[str, Any]] = [
    {"domains": "source"},
    {"domains": "source", "smote": SHARE},
    {"domains": "pooled", "smote": SHARE},
    {"domains": "apart"},
    {"domains": "apart", "smote": SHARE},
    {"domains": "standardised"},
    {"domains": "standardised", "smote": SHARE},
]
CLUSTERED = [{"domains": d, "smote": SHARE, "source_clusters": 5} for d in ("pooled", "source", "apart")]


@pytest.mark.parametrize("name", ["cosine", "lof", "mahalanobis"])
@pytest.mark.parametrize("how", [*HOWS, *CLUSTERED])
def test_a_masked_clip_might_as_well_not_be_there(name: str, how: dict[str, Any]) -> None:
    """No made row has it as a parent either."""
    reference = rows(12)
    found = by(SCORES[name], **how).fit(reference)(reference, mask_own=True)
    for clip in (0, 3, 7):
        own = reference.take(reference.clip == clip)
        alone = by(SCORES[name], **how).fit(without(reference, clip))(own)
        torch.testing.assert_close(found[reference.clip == clip], alone, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("domain", [SOURCE, TARGET, UNKNOWN, None])
@pytest.mark.parametrize("how", HOWS)
def test_with_one_domain_or_none_known_clips_rank_as_pooled(
    name: str, domain: int | None, how: dict[str, Any]
) -> None:
    reference, test = rows(), rows(seed=1)
    column = None if domain is None else torch.full_like(reference.domain, domain)
    reference = replace(reference, domain=column)
    found, pooled = by(SCORES[name], **how).fit(reference)(test), SCORES[name].fit(reference)(test)
    assert torch.equal(found.argsort(stable=True), pooled.argsort(stable=True))
    if how["domains"] != "standardised":
        assert torch.equal(found, pooled)


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("how", [*HOWS, *CLUSTERED])
@pytest.mark.parametrize("clips", [1, 2, 4, 5, 8])
def test_few_clips_and_copies_have_finite_scores(name: str, how: dict[str, Any], clips: int) -> None:
    few = rows(clips)
    copies = replace(few, mean=few.mean[:1].expand_as(few.mean), log_variance=torch.zeros_like(few.mean))
    for reference in (few, copies):
        assert torch.isfinite(by(SCORES[name], **how).fit(reference)(rows(seed=1))).all()


def test_rows_of_an_unknown_domain_count_as_the_sources() -> None:
    reference, test = rows(), rows(seed=1)
    unknown = replace(reference, domain=torch.where(reference.domain == SOURCE, UNKNOWN, TARGET))
    for how in HOWS:
        score = by(SCORES["knn"], **how)
        assert torch.equal(score.fit(unknown)(test), score.fit(reference)(test))
