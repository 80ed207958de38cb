"""Which clips belong together: cut from one recording, or recorded in one working condition.

A clip is more like the others of its group than like any new recording. What is kept back to judge by is
therefore kept back a group at a time.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

RECORDING = "recording"  # the attribute that says which clips were cut from one recording: it makes no class
LEAST_CONDITIONS = 5  # of a domain: with fewer, leaving one out leaves too much unknown

Attributes = Sequence[str] | NDArray[np.str_]


def recording_names(attributes: Attributes) -> NDArray[np.str_]:
    """The recording [N] that each clip was cut from; empty where its attributes don't say."""
    return _kept(attributes, of_recording=True)


def draw_units(recordings: Sequence[str] | NDArray[np.str_]) -> NDArray[np.intp]:
    """Numbers 0…m [N] of what is drawn as one: a recording with all clips that name it.

    `recordings` [N] names each clip's; a clip with an empty name is drawn by itself.
    """
    own = [name or f"{i:09d}" for i, name in enumerate(recordings)]  # numbers sort as the clips
    return np.unique(np.asarray(own, dtype=np.str_), return_inverse=True)[1]


def split_units(recordings: Sequence[str] | NDArray[np.str_]) -> NDArray[np.intp]:
    """`draw_units` [N], but each clip by itself where all are of one recording, which can't be split."""
    units = draw_units(recordings)
    return units if units.any() else np.arange(len(units))


def without_recording(attributes: Attributes) -> NDArray[np.str_]:
    """Attributes [N] without what says only which recording a clip was cut from."""
    return _kept(attributes, of_recording=False)


def group_names(
    attributes: Attributes, section: NDArray[np.integer], domain: NDArray[np.integer]
) -> NDArray[np.str_]:
    """The group [N] of each clip: its recording; else its condition; else itself, by its number.

    A condition is a section's clips of the same attributes. It counts where its domain has
    `LEAST_CONDITIONS` of them or more.
    """
    recording, told = recording_names(attributes), without_recording(attributes)
    names = np.array([f"clip {i}" for i in range(len(told))], dtype=object)
    condition = np.array([f"section_{s:02d},{t}" for s, t in zip(section, told, strict=True)], dtype=object)
    for of in np.unique(domain):
        known = (domain == of) & (told != "")
        if len(set(condition[known])) >= LEAST_CONDITIONS:
            names[known] = condition[known]
    names[recording != ""] = recording[recording != ""]
    return names.astype(np.str_)


def _kept(attributes: Attributes, *, of_recording: bool) -> NDArray[np.str_]:
    parts = [
        [p for p in text.split(",") if (p.partition("=")[0] == RECORDING) == of_recording]
        for text in attributes
    ]
    return np.asarray([",".join(part) for part in parts], dtype=np.str_)
