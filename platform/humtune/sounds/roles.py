"""What each clip is for: training, calibration, selection or report."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from humtune.sounds.table import UNKNOWN, ClipTable, Role


def assign_roles(table: ClipTable, *, held_out: float = 0.1, seed: int = 0) -> ClipTable:
    """The table with a role for each clip; the same table, share and seed always give the same roles.

    Of the training clips of each section and domain, the share `held_out` (0…1; at least one clip, where
    there are two) is kept back, drawn evenly over the attributes so that each keeps a clip to train on where
    it has more than one. Labelled dev test clips select; all other test clips are only reported.
    """
    train, select = table.split == "train", (table.part == "dev") & (table.label != UNKNOWN)
    role = np.where(train, str(Role.TRAIN), np.where(select, str(Role.SELECT), str(Role.REPORT)))
    role = role.astype(f"U{max(map(len, Role))}")
    cells = np.stack([table.section, table.domain], axis=1)
    for section, domain in np.unique(cells[train], axis=0):
        cell = np.flatnonzero(train & (table.section == section) & (table.domain == domain))
        generator = np.random.default_rng([seed, int(section), int(domain) + 1])
        role[_draw(cell[np.argsort(table.name[cell])], table.attributes, held_out, generator)] = Role.HELD_OUT
    return replace(table, role=role)


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
