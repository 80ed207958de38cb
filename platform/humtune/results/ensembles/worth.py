"""What an ensemble is worth on clips that did not choose it, beside other ways of joining its candidates."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humtune.errors import HumtuneError, UsageError
from humtune.metrics.cells import Array, Cells, labelled
from humtune.metrics.cross_fitting import SPLITS, Chooser, CrossFitted, Halve, cross_fit_choosers, halves
from humtune.metrics.omega import omega
from humtune.results.ensembles.candidates import Candidates
from humtune.results.ensembles.greedy import MEMBERS, OTHERS, Ensemble, Weights, ensemble, select
from humtune.results.ensembles.record import Member, Settings
from humtune.sounds.parallel import tracked
from humtune.sounds.table import Role

SINGLE, CHOSEN, EVERY = "best single", "greedy", "without labels"  # ways of choosing
TOP = 5  # candidates of the plain mean
SIZES = (1, 2, 3, 5, 8, 12, 16, 24)  # of the front, as far as the members go

Splits = tuple[float, ...]


def best_single(scores: Array, cells: Cells) -> Array:
    """The candidate with the highest Ω."""
    return np.asarray(scores[np.argmax(omega(scores, cells))])


def top_mean(count: int = TOP) -> Chooser:
    """The plain mean of the candidates with the highest Ω."""

    def choose(scores: Array, cells: Cells) -> Array:
        best = np.argsort(-omega(scores, cells), kind="stable")[:count]
        return np.asarray(scores[best].mean(axis=0))

    return choose


def greedy(members: int = MEMBERS) -> Chooser:
    """One greedy selection for all sections."""
    return lambda scores, cells: select(scores, cells, members=members)(scores)


def sectional(section: NDArray[np.integer], *, members: int = MEMBERS, others: float = OTHERS) -> Chooser:
    """The ensemble with weights per section, for clips of these sections [N]."""

    def choose(scores: Array, cells: Cells) -> Array:
        return ensemble(scores, cells, members=members, others=others)(scores, section)

    return choose


def fixed(vector: ArrayLike) -> Chooser:
    """A score [N] that no clips choose: one without labels, or the candidate that is best by all labels."""
    vector = np.asarray(vector, np.float64)
    return lambda scores, cells: vector


def compare(
    candidates: ArrayLike,
    cells: Cells,
    section: NDArray[np.integer],
    *,
    unlabelled: ArrayLike,
    members: int = MEMBERS,
    splits: int = SPLITS,
    seed: int = 0,
    halve: Halve | None = None,
) -> dict[str, CrossFitted]:
    """Cross-fitted Ω of a machine's calibrated candidates [K, N], alone and joined, all on the same splits.

    `section` [N] is every clip's; `unlabelled` [N] the score of all that needs no labels. The oracle single
    is the candidate that is best on all clips, which nobody can know: no choice of a single one can pass it.
    """
    scores = cells.check_scores(np.atleast_2d(np.asarray(candidates, np.float64)))
    choosers = {
        SINGLE: best_single,
        f"top-{TOP} mean": top_mean(),
        EVERY: fixed(unlabelled),
        CHOSEN: greedy(members),
        "ensemble": sectional(section, members=members),
        "oracle single": fixed(best_single(scores, cells)),
    }
    return cross_fit_choosers(choosers, scores, cells, splits=splits, seed=seed, halve=halve)


@dataclass(frozen=True)
class Worth:
    """Figures of the ways of choosing, by name; see `EnsembleRecord`."""

    compared: dict[str, Splits] = field(default_factory=dict)
    front: dict[str, dict[int, Splits]] = field(default_factory=dict)
    passes: dict[str, dict[int, int]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def labelled_worth(
    candidates: Candidates, cells: Cells, settings: Settings, *, splits: int = SPLITS
) -> Worth:
    """Cross-fitted Ω of every way of choosing, and of both kinds of ensemble by their number of members.

    All are read on the same splits. Where the cells are too small to halve, a note stands in their place.
    """
    clips, scores = candidates.clips, candidates.scores
    section: NDArray[np.integer] = clips.section
    sizes = front_sizes(settings.members, len(scores))
    choosers: dict[str, Callable[[int], Chooser]] = {
        "greedy": greedy,
        "ensemble": lambda size: sectional(section, members=size, others=settings.others),
    }
    front: dict[str, dict[int, Splits]] = {way: {} for way in choosers}
    passes: dict[str, dict[int, int]] = {way: {} for way in choosers}
    steps = iter(
        tracked(
            range(splits * len(sizes)), total=splits * len(sizes), title=f"{clips.machine}: comparing choices"
        )
    )

    def halve(cells: Cells, rng: np.random.Generator) -> tuple[Cells, Cells]:
        next(steps)
        return halves(cells, rng)

    compared: dict[str, Splits] = {}
    try:
        for size in sizes:
            if size == sizes[-1]:
                read = compare(
                    scores,
                    cells,
                    section,
                    unlabelled=candidates.unlabelled,
                    members=settings.members,
                    splits=splits,
                    halve=halve,
                )
                compared = {way: tuple(fitted.splits.tolist()) for way, fitted in read.items()}
            else:
                some = {way: choose(size) for way, choose in choosers.items()}
                read = cross_fit_choosers(some, scores, cells, splits=splits, halve=halve)
            for way in choosers:
                front[way][size] = tuple(read[way].splits.tolist())
            whole = ensemble(scores, cells, members=size, others=settings.others)
            passes["greedy"][size] = networks(candidates.members, whole.machine.members)
            passes["ensemble"][size] = most_networks(candidates.members, whole)
    except UsageError as error:  # a cell of a single clip
        return Worth(notes=(str(error),))
    finally:
        next(steps, None)  # the bar's last step
    return Worth(compared, front, passes)


def unlabelled_worth(candidates: Candidates, weights: Array) -> Worth:
    """Ω of what was chosen without labels, where there are some to read it by."""
    clips, scores = candidates.clips, candidates.scores
    passes = {
        "ensemble": {int(np.count_nonzero(weights)): networks(candidates.members, np.flatnonzero(weights))}
    }
    if not labelled(clips):
        return Worth(passes=passes, notes=(f"{clips.machine}: no labelled clips to read it by",))
    ways = {
        "best by pseudo-Ω": scores[np.nanargmax(known)]
        if np.isfinite(known := candidates.pseudo).any()
        else None,
        "ensemble": weights @ scores,
    }
    try:
        cells = Cells.of(clips, Role.SELECT)
        compared: dict[str, Splits] = {
            way: (float(omega(vector, cells)),) for way, vector in ways.items() if vector is not None
        }
    except HumtuneError as error:
        return Worth(passes=passes, notes=(str(error),))
    return Worth(compared, passes=passes)


def front_sizes(members: int, candidates: int) -> list[int]:
    """The sizes of the front: from one member to all that are allowed or there."""
    most = min(members, candidates)
    return [*(size for size in SIZES if size < most), most]


def networks(members: tuple[Member, ...], taken: NDArray[np.intp]) -> int:
    """Distinct trials or systems among those taken: score types of a trial share its forward pass."""
    return len({members[k].trial or members[k].system for k in taken.tolist()})


def most_networks(members: tuple[Member, ...], found: Ensemble) -> int:
    """What the most expensive section's clips go through."""
    weightings: list[Weights] = [found.machine, *found.sections.values()]
    return max(networks(members, weights.members) for weights in weightings)
