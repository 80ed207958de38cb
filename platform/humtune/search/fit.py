"""Whether a space fits a machine's recordings: asked before anything starts."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from humtune.config import FUSION, SAMPLE_RATE, Spectrogram, TrialConfig, VariationalHead
from humtune.errors import UsageError
from humtune.evaluation.cells import Cells, labelled
from humtune.evaluation.fusion import LEAST_CLIPS
from humtune.records import Objective, ParamValue
from humtune.search.space import Space
from humtune.sounds.classes import class_labels
from humtune.sounds.table import ClipTable, Role


def check_fits(space: Space, table: ClipTable, lengths: NDArray[np.int64]) -> None:
    """Raise a UsageError that names machine, key, value and bound where no trial of the space can work.

    `lengths` [N] are the clips' samples. Chunks must be no longer than the shortest clip, classes no more
    than the embedding is long, and the clips must make what trials are judged by.
    """
    machine = table.machine
    if space.enumerated and not space.runs(machine):
        raise UsageError(
            f"{machine}: the space lists no point for it; add one to `first` with machine: {machine}, "
            "or leave it out with --machines"
        )
    objective_of(space.objective, table)
    shortest = int(lengths.argmin())
    for params, config in space.corners("spectrogram", machine=machine):
        _check_chunk(machine, str(table.name[shortest]), int(lengths[shortest]), config, params)
    for params, config in space.corners("backbone", "labels", "head.kind", machine=machine):
        names, _ = class_labels(table, config.labels)
        if isinstance(config.head, VariationalHead) and len(names) > config.backbone.embedding:
            raise UsageError(
                f"{machine}: labels: {config.labels} gives {len(names)} classes, more than "
                f"backbone.embedding = {config.backbone.embedding}{_chosen(params)}; "
                f"set it to {len(names)} or more"
            )
    held_out = len(table.having(Role.HELD_OUT))
    for params, config in space.corners("scores", "head.kind", machine=machine):
        if FUSION in config.score_types and held_out < LEAST_CLIPS:
            raise UsageError(
                f"{machine}: scores: fusion needs {LEAST_CLIPS} held-out training clips or more, there "
                f"are {held_out}{_chosen(params)}; take fusion out, or give a section and domain 15 clips"
            )


def objective_of(asked: Objective | None, table: ClipTable) -> Objective:
    """What a machine's trials are judged by: as asked, else Ω where there are labels and pseudo-Ω elsewhere.

    UsageError where Ω is wanted and a cell lacks normals or anomalies, or pseudo-Ω and no clip is held out.
    """
    if asked == "omega" or (asked is None and labelled(table)):
        try:
            Cells.of(table, Role.SELECT)
        except UsageError as error:
            raise UsageError(f"{error}; objective: pseudo does without labels") from error
        return "omega"
    if not len(table.having(Role.HELD_OUT)):
        raise UsageError(f"{table.machine}: objective: pseudo needs two training clips a section, or more")
    return "pseudo"


def silent_rows(space: Space, machines: Iterable[str]) -> list[str]:
    """A line for each spectrogram of the space with mel filters too narrow to hold a Fourier bin."""
    lines: dict[str, None] = {}
    for machine in machines:
        whose = f"{machine}: " if machine in space.machines else ""
        for params, config in space.corners("spectrogram", machine=machine):
            empty, spectrogram = empty_mels(config.spectrogram), config.spectrogram
            if empty:
                lines[
                    f"{whose}{empty} of {spectrogram.n_mels} mel filters hold no bin at "
                    f"n_fft = {spectrogram.n_fft} and stay silent{_chosen(params)}"
                ] = None
    return list(lines)


def empty_mels(spectrogram: Spectrogram) -> int:
    """Mel filters too narrow to hold a Fourier bin: rows of the picture that are always silent.

    A filter reaches from its left neighbour's peak to its right one's, which stand evenly on the HTK scale.
    """
    if spectrogram.n_mels is None:
        return 0
    highest = SAMPLE_RATE / 2
    bins = np.linspace(0.0, highest, spectrogram.n_fft // 2 + 1)
    mels = np.linspace(0.0, 2595 * np.log10(1 + highest / 700), spectrogram.n_mels + 2)
    peaks = 700 * (10 ** (mels / 2595) - 1)
    first = bins[np.searchsorted(bins, peaks[:-2], side="right")]
    return int((first >= peaks[2:]).sum())


def _check_chunk(
    machine: str, clip: str, samples: int, config: TrialConfig, params: dict[str, ParamValue]
) -> None:
    spectrogram = config.spectrogram
    frames = spectrogram.frames(samples)
    if spectrogram.chunk_frames > frames:
        raise UsageError(
            f"{machine}: spectrogram.chunk_frames = {spectrogram.chunk_frames}{_chosen(params)} is longer "
            f"than the shortest clip, {clip}: {samples / SAMPLE_RATE:.2f} s are {frames} frames at "
            f"n_fft = {spectrogram.n_fft}; choose chunk_frames ≤ {frames}"
        )


def _chosen(params: dict[str, ParamValue]) -> str:
    return f" ({', '.join(f'{k}: {v}' for k, v in params.items())})" if params else ""
