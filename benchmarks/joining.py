"""The ways of joining several systems' scores that `ensembles.py` holds against each other."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from scipy.special import ndtri

from humtune.metrics.calibration import ranks
from humtune.metrics.cells import Array, Cells
from humtune.metrics.cross_fitting import Chooser
from humtune.results.ensembles import worth
from humtune.results.ensembles.greedy import Objective, Weights, select
from humtune.sounds.groups import recording_names
from humtune.sounds.table import ClipTable, Role

PLAIN = {"start": 1, "patience": 1, "steps": 15}  # Caruana's simplest: from the best, to the first loss
SIZES = (1, 2, 3, 5, 8)
RESAMPLES = 20
PRICE = 0.005  # of Ω, that a further member has to bring
STRENGTH = 0.1  # of the ridge, where weights are learned


def gaussian(scores: Array, section: Array) -> Array:
    """Ranks as quantiles of the normal distribution: both tails stretched."""
    return np.asarray(ndtri(ranks(scores, section)))


def logit(scores: Array, section: Array) -> Array:
    """Log-odds of the ranks: tails stretched further."""
    r = ranks(scores, section)
    return np.asarray(np.log(r) - np.log1p(-r))


def tail(scores: Array, section: Array) -> Array:
    """−ln(1 − rank): only the anomalous tail stretched, where pAUC is decided (Fisher's sum of surprises)."""
    return np.asarray(-np.log1p(-ranks(scores, section)))


def standard(scores: Array, section: Array) -> Array:
    """z-scores within the section; zero where all its scores are equal."""
    found = np.zeros_like(scores)
    for number in np.unique(section):
        here = scores[:, section == number]
        centred, spread = here - here.mean(axis=1, keepdims=True), here.std(axis=1, keepdims=True)
        found[:, section == number] = centred / np.where(spread > 0, spread, 1)
    return found


CALIBRATIONS = {way.__name__: way for way in (ranks, gaussian, logit, tail, standard)}


class Machine:
    """One machine's systems, calibrated in every transductive way."""

    def __init__(self, table: ClipTable, scores: Array) -> None:
        self.table, self.cells, self.raw = table, Cells.of(table, Role.SELECT), scores
        self.scores = {name: f(scores, table.section) for name, f in CALIBRATIONS.items()}
        self.single = worth.best_single(self.scores["ranks"], self.cells)


def join(
    machines: dict[str, Machine], name: str, choosing: dict[str, Cells], *, full: bool
) -> Iterator[tuple[str, Array]]:
    """Every way of joining a machine's systems, and the score that it makes."""
    machine, cells = machines[name], choosing[name]
    ranks, section = machine.scores["ranks"], machine.table.section
    plain = select(ranks, cells, members=len(ranks), **PLAIN)
    yield "oracle single", machine.single
    for joined, choose in ways(section).items():
        yield joined, choose(ranks, cells)
    yield "plain greedy", plain(ranks)
    yield "with subtraction, per section", subtracting(worth.sectional(section))(ranks, cells)
    yield "learned weights, per section", learned(section, 0.2)(ranks, cells)
    yield "best single per section", worth.sectional(section, members=1, others=0)(ranks, cells)
    if not full:
        return
    yield "per section, others 0", worth.sectional(section, others=0)(ranks, cells)
    for kind in ("gaussian", "logit", "tail", "standard"):
        scores = machine.scores[kind]
        yield f"plain greedy, {kind}", select(scores, cells, members=len(scores), **PLAIN)(scores)
    yield "per section, gaussian", worth.sectional(section)(machine.scores["gaussian"], cells)
    yield "per section, standard", worth.sectional(section)(machine.scores["standard"], cells)
    yield "bagged over systems", bagged(ranks, cells, bags=10, members=len(ranks), **PLAIN)(ranks)
    lower = lower_bound(cells, spreads=1.0)
    yield "bootstrap, mean − sd", select(ranks, cells, objective=lower, **PLAIN)(ranks)
    yield "price per member", priced(plain, len(ranks)) @ ranks
    yield "shared with other machines", share_machines(machines, name, choosing, others=0.05)
    for size in SIZES:
        yield f"greedy, {size} members", worth.greedy(size)(ranks, cells)
        yield f"per section, {size} members", worth.sectional(section, members=size)(ranks, cells)


def bagged(
    scores: Array, cells: Cells, *, bags: int, members: int, share: float = 0.5, **bounds: int
) -> Weights:
    """The mean of selections out of random shares of the systems (Caruana 2004); the heaviest stay."""
    rng = np.random.default_rng(0)
    shares = np.zeros(len(scores))
    for _ in range(bags):
        bag = np.sort(rng.permutation(len(scores))[: max(1, round(share * len(scores)))])
        shares[bag] += select(scores[bag], cells, members=members, **bounds).values
    shares[np.argsort(-shares, kind="stable")[members:]] = 0
    return Weights(shares / shares.sum(), ())


def ways(section: Array) -> dict[str, Chooser]:
    """What every view reads."""
    return {
        "best single": worth.best_single,
        "top-5 mean": worth.top_mean(5),
        "mean of all": lambda scores, cells: scores.mean(axis=0),
        "greedy from the best few": worth.greedy(),
        "half greedy, half top-5 mean": half_equal,
        "per section": worth.sectional(section),
    }


def half_equal(scores: Array, cells: Cells) -> Array:
    """Greedy weights, shrunk half of the way to equal weights of the best five."""
    return select(scores, cells, **PLAIN)(scores) / 2 + worth.top_mean(5)(scores, cells) / 2


def subtracting(choose: Chooser) -> Chooser:
    """The same way of joining, with every system upside down as a further candidate."""
    return lambda scores, cells: choose(np.concatenate([scores, 1 - scores]), cells)


def learned(section: Array, others: float) -> Chooser:
    """Linear discriminant weights per section, with a ridge; another section's moments count `others`."""

    def choose(scores: Array, cells: Cells) -> Array:
        moments = {}
        for number, group in cells.sections():
            anomalies = scores[:, np.concatenate([c.anomaly for c in group])]
            normals = [scores[:, c.normal] for c in group]
            apart = anomalies.mean(axis=1) - np.mean([n.mean(axis=1) for n in normals], axis=0)
            moments[number] = apart, np.cov(anomalies) + np.mean([np.cov(n) for n in normals], axis=0)
        found = np.zeros(scores.shape[1])
        for own in moments:
            shares = {number: 1.0 if number == own else others for number in moments}
            apart, spread = (sum(shares[n] * moments[n][i] for n in moments) for i in (0, 1))
            ridge = STRENGTH * np.trace(spread) / len(spread) * np.eye(len(spread))
            weights = np.linalg.solve((1 - STRENGTH) * spread + ridge, apart)
            found[section == own] = weights @ scores[:, section == own]
        return found

    return choose


def lower_bound(cells: Cells, *, spreads: float) -> Callable[[Array], Array]:
    """The mean of Ω less its standard deviation over resamples of the choosing clips."""
    rng = np.random.default_rng(0)

    def again(clips: Array) -> Array:
        return rng.choice(clips, len(clips))

    samples = [
        Objective(
            replace(
                cells,
                cells=tuple(
                    replace(c, normal=again(c.normal), anomaly=again(c.anomaly)) for c in cells.cells
                ),
            )
        )
        for _ in range(RESAMPLES)
    ]

    def objective(scores: Array) -> Array:
        values = np.stack([sample(scores) for sample in samples])
        return np.asarray(values.mean(axis=0) - spreads * values.std(axis=0))

    return objective


def priced(weights: Weights, count: int) -> Array:
    """The weights at the point of the path where Ω less the price of its members is highest."""
    best = int(np.argmax([step.omega - PRICE * step.members for step in weights.path]))
    shares = np.bincount([step.candidate for step in weights.path[: best + 1]], minlength=count)
    return np.asarray(shares / shares.sum())


def share_machines(
    machines: dict[str, Machine], own: str, choosing: dict[str, Cells], *, others: float
) -> Array:
    """Plain greedy by the Ω in which other machines' sections count a little too."""
    joined, importance, offset = [], {}, 0
    for i, (name, machine) in enumerate(machines.items()):
        for cell in choosing[name].cells:
            section = 100 * i + cell.section
            importance[section] = 1.0 if name == own else others
            joined.append(
                replace(cell, section=section, normal=cell.normal + offset, anomaly=cell.anomaly + offset)
            )
        offset += len(machine.table)
    scores = np.concatenate([m.scores["ranks"] for m in machines.values()], axis=1)
    names = np.concatenate([m.table.name for m in machines.values()])
    attributes = np.concatenate([m.table.attributes for m in machines.values()])
    cells = Cells(own, names, recording_names(attributes), tuple(joined))
    weights = select(scores, cells, members=len(scores), objective=Objective(cells, importance), **PLAIN)
    return weights(machines[own].scores["ranks"])
