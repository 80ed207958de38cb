"""What each clip is for: training, calibration, selection or report."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from humtune.errors import UsageError
from humtune.sounds.table import NORMAL, SOURCE, TARGET, UNKNOWN, ClipTable, Role

LEAST_PER_SIDE = 2  # clips of a cell that choose, and that are hidden: fewer can't be halved or drawn again

_DOMAINS = {SOURCE: " source", TARGET: " target"}


def assign_roles(
    table: ClipTable, *, held_out: float = 0.1, holdout: float = 0.0, seed: int = 0
) -> ClipTable:
    """The table with a role for each clip; the same table, share and seed always give the same roles.

    Of the training clips of each section and domain, the share `held_out` (0…1; at least one clip, where
    there are two) is kept back, drawn evenly over the attributes so that each keeps a clip to train on where
    it has more than one. Labelled dev test clips select; all other test clips are only reported. Of those
    that select, the share `holdout` of each section, domain and label is hidden instead; a UsageError names
    the cell where that leaves fewer than two clips on either side.
    """
    train, select = table.split == "train", (table.part == "dev") & (table.label != UNKNOWN)
    role = np.where(train, str(Role.TRAIN), np.where(select, str(Role.SELECT), str(Role.REPORT)))
    role = role.astype(f"U{max(map(len, Role))}")
    cells = np.stack([table.section, table.domain], axis=1)
    for section, domain in np.unique(cells[train], axis=0):
        cell = np.flatnonzero(train & (table.section == section) & (table.domain == domain))
        generator = np.random.default_rng([seed, int(section), int(domain) + 1])
        role[_draw(cell[np.argsort(table.name[cell])], table.attributes, held_out, generator)] = Role.HELD_OUT
    if holdout:
        role[_hidden(table, np.flatnonzero(~train & select), holdout, seed)] = Role.HIDDEN
    return replace(table, role=role)


def _hidden(table: ClipTable, clips: NDArray[np.intp], share: float, seed: int) -> NDArray[np.intp]:
    """A share of each (section, domain, label) cell of the labelled clips, drawn at random."""
    if not 0 < share < 1:
        raise UsageError(f"--holdout {share:g}: it is a share of the labelled clips, between 0 and 1")
    if not clips.size:
        raise UsageError(f"{table.machine} has no labelled dev test clips to hide; leave out --holdout")
    cells = np.stack([table.section, table.domain, table.label], axis=1)
    hidden = []
    for section, domain, label in np.unique(cells[clips], axis=0):
        cell = clips[(cells[clips] == (section, domain, label)).all(axis=1)]
        count = round(share * len(cell))
        if min(count, len(cell) - count) < LEAST_PER_SIDE:
            kind = "normal" if label == NORMAL else "anomalous"
            mend = "choose a share closer to 0.5"
            if len(cell) < 2 * LEAST_PER_SIDE:
                mend = f"{2 * LEAST_PER_SIDE} or more are needed"
            raise UsageError(
                f"{table.machine} section {section:02d}{_DOMAINS.get(int(domain), '')}: --holdout {share:g} "
                f"hides {count} of {len(cell)} {kind} clips; both sides need {LEAST_PER_SIDE} ({mend})"
            )
        generator = np.random.default_rng([seed, int(section), int(domain) + 1, int(label) + 1])
        hidden.append(generator.permutation(cell[np.argsort(table.name[cell])])[:count])
    return np.concatenate(hidden)


def _draw(
    cell: NDArray[np.intp], attributes: NDArray[np.str_], share: float, generator: np.random.Generator
) -> NDArray[np.intp]:
    """Choose a share of a cell's clips, evenly over its attributes."""
    if share <= 0 or len(cell) < 2:
        return cell[:0]
    wanted = min(max(1, round(share * len(cell))), len(cell) - 1)
    strata = [generator.permutation(cell[attributes[cell] == a]) for a in np.unique(attributes[cell])]
    spare = np.concatenate([stratum[1:] for stratum in strata])  # without them each still has a clip
    if len(spare) < wanted:
        kept = generator.permutation([stratum[0] for stratum in strata])
        return np.concatenate([spare, kept[: wanted - len(spare)]])
    steps = (np.arange(wanted) + generator.random()) * len(spare) / wanted
    return np.asarray(spare[steps.astype(np.intp)])
