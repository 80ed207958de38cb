"""Detectors that score together without labels, beside the best single one that labels would choose.

    python benchmarks/without_labels.py --scores DIR --real NAME[:MACHINE,…] --synthetic NAME[:MACHINE,…]
        [--storage humtune-runs] [--write docs/without-labels.md]

DIR is a folder of folders of DCASE score files, one a system. They come without scores of training clips: 17
source normals of each section stand for these, and judge nothing; or all clips of a section are scaled
together (transductive). Real and synthetic are searches with labels; `STORAGE/NAME` is one elsewhere.
The lead of a way is its Ω less that of the best single detector, chosen by labels on half of the clips, both
read on the other half, twenty splits. A way is chosen by the mean of the lowest third of its leads on half of
the machines, a hundred times, and read on the others.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from blind import Blind, ways
from ensembles import read_systems
from pages import fill

from humtune.formatting.text import to_markdown
from humtune.ledger import Ledger
from humtune.metrics.cells import Array, Cells, labelled
from humtune.metrics.cross_fitting import SPLITS, halves
from humtune.metrics.omega import omega
from humtune.results.archive import read_archive
from humtune.results.candidates import FUSION
from humtune.sounds.parallel import tracked
from humtune.sounds.probes import ProbeKind
from humtune.sounds.table import Role
from humtune.storage import Storage

STANDING = 17  # source normals of each section that stand for clips held out of training
SIZES = {24: 1, 12: 2, 6: 4, 3: 6}  # systems taken -> draws
DRAWS = 100
REAL, SYNTHETIC = "searches, real", "searches, synthetic"
OURS = "**compressed, by agreement**"
SINGLE = "a mean single detector"
ORACLE = "best single, by all labels"


@dataclass(frozen=True, eq=False)
class Unit:
    """Detectors of one machine, and the labelled clips that they are read on."""

    evidence: str
    machine: str
    blind: Blind
    cells: Cells


def systems(folder: Path) -> Iterator[Unit]:
    """Systems of others: all, and some drawn at random; by standing normals, and transductively."""
    for name, machine in read_systems(folder).items():
        sections = [np.flatnonzero(machine.table.section == s) for s in np.unique(machine.table.section)]
        for size, draws in SIZES.items():
            for draw in range(draws):
                rng = np.random.default_rng(draw)
                taken = np.sort(rng.permutation(len(machine.raw))[:size])
                trial = [str(k) for k in taken]
                rest, standing = [], []
                for cell in machine.cells.cells:
                    mixed = rng.permutation(cell.normal)
                    kept = STANDING if cell.domain == 0 else 0
                    standing.append(mixed[:kept])
                    rest.append(replace(cell, normal=np.sort(mixed[kept:])))
                healthy, cells = np.concatenate(standing), replace(machine.cells, cells=tuple(rest))
                test = np.concatenate([clips for c in rest for clips in (c.normal, c.anomaly)])
                blind = Blind(
                    raw=machine.raw[taken],
                    trial=trial,
                    family=trial,
                    pseudo=np.full(size, np.nan),
                    groups=sections,
                    healthy=healthy,
                    known=healthy,
                    test=test,
                )
                yield Unit(f"{size} systems", name, blind, cells)
                if size == max(SIZES) and draw == 0:
                    every = np.arange(len(machine.table))
                    blind = replace(blind, healthy=every, known=every, test=every)
                    yield Unit(f"{size}, transductive", name, blind, machine.cells)


def searched(storage: str, words: str, evidence: str) -> Iterator[Unit]:
    """A search's machines, each read on its selecting clips, and on those that are only reported."""
    path, _, machines = words.partition(":")
    place, _, name = path.rpartition("/")
    ledger = Ledger.open(Storage(place or storage), name)
    for machine in machines.split(",") if machines else ledger.plan.machines:
        clips = ledger.clips(machine)
        archive = read_archive(ledger, machine)
        own = [c for c in archive.candidates() if c.score_type != FUSION]
        held_out = clips.having(Role.HELD_OUT)
        disturbed = np.flatnonzero((clips.role == Role.PROBE) & (clips.part == ProbeKind.FAULT))
        blind = Blind(
            raw=archive.of(own),
            trial=[c.trial.id for c in own],
            family=[c.trial.family for c in own],
            pseudo=np.array([c.trial.pseudo.get(c.score_type, np.nan) for c in own]),
            groups=[np.arange(len(clips))],
            healthy=held_out,
            known=np.concatenate([held_out, disturbed]),
            test=held_out,
        )
        for role in (Role.SELECT, Role.REPORT):
            if labelled(clips, role):
                yield Unit(evidence, machine, replace(blind, test=clips.having(role)), Cells.of(clips, role))


def read(unit: Unit) -> dict[str, Array]:
    """Way -> its lead over the best single detector by labels, in points, a split each; "best": its Ω."""
    joined = ways(unit.blind)
    scores, count = np.stack([*unit.blind.raw, *joined.values()]), len(unit.blind.raw)
    rng, found = np.random.default_rng(0), []
    oracle = int(np.argmax(omega(unit.blind.raw, unit.cells)))
    for _ in range(SPLITS):
        by_half = [100 * omega(scores, half) for half in halves(unit.cells, rng)]
        for choosing, reading in (by_half, by_half[::-1]):
            best = reading[np.argmax(choosing[:count])]
            figures = np.array([*reading[count:], reading[oracle], reading[:count].mean()])
            found.append([*(figures - best), best])
    return dict(zip([*joined, ORACLE, SINGLE, "best"], np.array(found).T, strict=True))


Leads = dict[str, dict[str, dict[str, list[Array]]]]  # evidence -> machine -> way -> a unit each, [splits]


def gathered(units: list[Unit]) -> Leads:
    """What every unit was worth."""
    leads: Leads = {}
    for unit in tracked(units, total=len(units), title="joining"):
        place = leads.setdefault(unit.evidence, {}).setdefault(unit.machine, {})
        for way, splits in read(unit).items():
            place.setdefault(way, []).append(splits)
    return leads


def by_evidence(leads: Leads) -> str:
    """The mean lead of each way, and in brackets the lowest of a machine."""
    names = dict.fromkeys(w for machines in leads.values() for found in machines.values() for w in found)
    rows = []
    for way in names:
        if way == "best":
            continue
        row = [way]
        for machines in leads.values():
            values = [np.mean([s.mean() for s in found[way]]) for found in machines.values() if way in found]
            row.append(f"{np.mean(values):+.1f} ({min(values):+.1f})" if values else "–")
        rows.append(row)
    best = [f"{np.mean([np.mean(f['best']) for f in machines.values()]):.1f}" for machines in leads.values()]
    return to_markdown(["lead (lowest)", *leads], [["Ω of the best single, by labels", *best], *rows])


def by_machine(leads: Leads) -> str:
    """The way that humtune takes, machine by machine, with what resampling its splits and draws gives."""
    rows = []
    for evidence, machines in leads.items():
        for machine, found in machines.items():
            lead = np.concatenate(found[OURS])
            best, single, oracle = (np.mean(found[n]) for n in ("best", SINGLE, ORACLE))
            told = f"{lead.mean():+.1f} ± {lead.std():.1f}"
            figures = (best + lead.mean(), best, best + oracle, best + single)
            ours, chosen_one, *others = (f"{figure:.1f}" for figure in figures)
            rows.append([evidence, machine, ours, chosen_one, told, *others])
    columns = ["evidence", "machine", "Ω", "best single, by labels", "lead", "oracle single", "mean single"]
    return to_markdown(columns, rows, left=2)


def chosen(leads: Leads) -> str:
    """What choosing a way on half of the machines gives on the others."""
    machines: dict[str, dict[str, list[float]]] = {}  # real, synthetic or systems' machine -> way -> leads
    for evidence, known in leads.items():
        for machine, found in known.items():
            kind = evidence if evidence in (REAL, SYNTHETIC) else "systems"
            place = machines.setdefault(f"{kind} {machine}", {})
            for way, units in found.items():
                if way not in ("best", ORACLE, SINGLE):
                    place.setdefault(way, []).extend(float(s.mean()) for s in units)
    shared = [w for w in next(iter(machines.values())) if all(w in found for found in machines.values())]
    means = np.array([[np.mean(found[w]) for found in machines.values()] for w in shared])  # [ways, machines]
    rng, picked, rest, lowest, before = np.random.default_rng(0), [], [], [], []
    for _ in range(DRAWS):
        mixed = rng.permutation(means.shape[1])
        one, other = mixed[: len(mixed) // 2], mixed[len(mixed) // 2 :]
        low = np.sort(means[:, one], axis=1)[:, : max(1, len(one) // 3)].mean(axis=1)
        best = int(np.argmax(low))
        picked.append(best)
        rest.append(means[best, other].mean())
        lowest.append(means[best, other].min())
        before.append(means[shared.index("mean"), other].mean())
    rows = [
        [
            shared[k],
            f"{100 * np.mean(np.array(picked) == k):.0f} %",
            f"{means[k].mean():+.1f} {_interval(means[k])}",
            f"{means[k].min():+.1f}",
        ]
        for k in np.argsort(-np.bincount(picked, minlength=len(shared)), kind="stable")
    ]
    told = (
        f"Read on the machines that did not choose, the chosen way's lead was {np.mean(rest):+.1f} "
        f"(lowest machine {np.mean(lowest):+.1f}), that of the plain mean {np.mean(before):+.1f}."
    )
    return to_markdown(["way", "chosen", "mean lead, 90 %", "lowest machine"], rows) + "\n\n" + told


def _interval(values: Array) -> str:
    """Of the mean, with machines drawn again."""
    draws = np.random.default_rng(0).integers(len(values), size=(2000, len(values)))
    low, high = np.quantile(values[draws].mean(axis=1), [0.05, 0.95])
    return f"({low:+.1f} – {high:+.1f})"


def main() -> None:
    """Read all evidence, and print the tables or fill a page with them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scores", type=Path, help="folder of folders of score files")
    parser.add_argument("--real", nargs="*", default=[], metavar="NAME[:MACHINE,…]", help="searches")
    parser.add_argument("--synthetic", nargs="*", default=[], metavar="NAME[:MACHINE,…]", help="searches")
    parser.add_argument("--storage", default="humtune-runs", help="of the searches")
    parser.add_argument("--write", type=Path, metavar="FILE", help="fill this page instead of printing")
    words = parser.parse_args()
    units = list(systems(words.scores)) if words.scores else []
    for evidence, names in ((REAL, words.real), (SYNTHETIC, words.synthetic)):
        for name in names:
            units += searched(words.storage, name, evidence)
    leads = gathered(units)
    tables = {"ways": by_evidence(leads), "choice": chosen(leads), "machines": by_machine(leads)}
    if words.write:
        fill(words.write, tables)
    else:
        print("\n\n".join(tables.values()))


if __name__ == "__main__":
    main()
