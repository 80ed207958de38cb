"""Published results on DCASE Task 2: to hold a search against, never measured here."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from humtune.formatting.text import MISSING, to_markdown
from humtune.results.rows import ALL

MACHINES = ("ToyCar", "ToyTrain", "bearing", "fan", "gearbox", "slider", "valve")  # of DCASE 2022 Task 2


@dataclass(frozen=True)
class System:
    """A published system: official Ω in percent over all seven machines, None where it isn't published."""

    name: str
    year: int
    kind: str
    dev: float | None
    eval: float | None
    source: str


_RESULTS = "DCASE 2022 Task 2 results"
SYSTEMS = (
    System("autoencoder baseline", 2022, "autoencoder", 53.5, None, _RESULTS),
    System("MobileNetV2 baseline", 2022, "classifier", 55.2, None, _RESULTS),
    System("Zeng et al.", 2022, "1st place, an ensemble per machine", None, 70.97, _RESULTS),
    System("Kuroyanagi et al.", 2022, "2nd place", 81.15, None, _RESULTS),
    System("Xiao et al., system 1", 2022, "3rd place", 70.28, 66.39, _RESULTS),
    System("Xiao et al., system 2", 2022, "3rd place", 71.37, 66.53, _RESULTS),
    System("Xiao et al., system 3", 2022, "3rd place", 74.91, 67.42, _RESULTS),
    System("Xiao et al., system 4", 2022, "3rd place", 75.45, 68.04, _RESULTS),
    System("ASDKit: autoencoder", 2025, "autoencoder", 53.84, 53.46, "ASDKit"),
    System("ASDKit: sub-cluster AdaCos", 2025, "spectrogram and spectrum", 71.62, 67.74, "ASDKit"),
    System("ASDKit: sub-cluster AdaCos", 2025, "three spectrograms and spectrum", 71.74, 68.99, "ASDKit"),
    System("ASDKit: fine-tuned EAT", 2025, "pretrained transformer, fine-tuned", 73.88, 69.85, "ASDKit"),
)


@dataclass(frozen=True)
class Result:
    """What was published of a system that humtune carries: a figure in percent on a year's challenge."""

    measure: str  # Ω, or the mean AUC or pAUC
    what: str
    year: int = 2022
    dev: float | None = None
    eval: float | None = None
    of: tuple[str, Any] | None = None  # a setting of the system's points that it is of; None: of any


_WINDOWS = "spectrogram.n_ffts"
RESULTS = {  # by the system's space
    "zeng": (Result("Ω", "an ensemble for each machine", eval=70.97),),
    "kuroyanagi_exposure": (Result("Ω", "settings chosen on the dev clips", dev=81.15),),
    "subcluster_adacos": (
        Result(
            "Ω", "spectrogram and spectrum, mean of 4 seeds", dev=71.62, eval=67.74, of=(_WINDOWS, (1024,))
        ),
        Result(
            "Ω",
            "three spectrograms and spectrum, mean of 4 seeds",
            dev=71.74,
            eval=68.99,
            of=(_WINDOWS, (256, 1024, 4096)),
        ),
    ),
    "xiao_gwrp": (
        Result("Ω", "decay and Gaussians chosen on the dev clips, by machine", dev=71.37, eval=66.53),
    ),
    "xiao_attributes": (Result("Ω", "the classifier alone", dev=60.9),),
    "dcase_autoencoder": (
        Result("Ω", "the challenge's baseline", dev=53.5),
        Result("AUC", "the challenge's baseline", 2020, eval=72.8),
    ),
    "idnn": (Result("AUC", "one network a machine", 2020, eval=79.1),),
    "vae": (Result("AUC", "one network a machine", 2020, eval=69.6),),
    "stgram": (
        Result("AUC", "one network for all machines", 2020, dev=92.4),
        Result("pAUC", "one network for all machines", 2020, dev=86.3),
    ),
}


@dataclass(frozen=True)
class Challenge:
    """A year's recordings: the sections of each machine in dev and eval, and the test clips of each cell."""

    sections: dict[str, dict[str, tuple[int, ...]]]
    per_cell: int | None = None  # of a section, domain and label; None where it differs


_MIMII_2020 = {"dev": (0, 2, 4, 6), "eval": (1, 3, 5)}
CHALLENGES = {
    2020: Challenge(
        {
            "ToyCar": {"dev": (1, 2, 3, 4), "eval": (5, 6, 7)},
            "ToyConveyor": {"dev": (1, 2, 3), "eval": (4, 5, 6)},
            **dict.fromkeys(("fan", "pump", "slider", "valve"), _MIMII_2020),
        }
    ),
    2022: Challenge({machine: {"dev": (0, 1, 2), "eval": (3, 4, 5)} for machine in MACHINES}, per_cell=50),
}

FIGURE_3 = ("Zeng et al.", "Kuroyanagi et al.", "Xiao et al., system 4")  # the paper's: the challenge's best


def is_dcase_2022(machines: Iterable[str]) -> bool:
    """Whether all machines are among the seven of DCASE 2022 Task 2."""
    return {*machines} - {ALL} <= {*MACHINES}


def pointer(machines: Iterable[str]) -> list[str]:
    """For a screen: where the published systems are listed; nothing for other machines."""
    listed = is_dcase_2022(machines)
    return ["Published results of DCASE 2022 (not measured here) are in table.md."] if listed else []


def published_block(machines: Iterable[str]) -> list[str]:
    """Markdown lines with the published systems in a table of their own; none for other machines."""
    if not is_dcase_2022(machines):
        return []
    rows = [
        [
            s.name,
            str(s.year),
            s.kind,
            s.source,
            *(MISSING if v is None else f"{v:g}" for v in (s.dev, s.eval)),
        ]
        for s in SYSTEMS
    ]
    columns = ["published system", "year", "kind", "source", "Ω dev", "Ω eval"]
    return [
        "",
        "## Published results, DCASE 2022, not measured here",
        "",
        to_markdown(columns, rows, left=4),
        "",
        "Official Ω in percent over all seven machines of the DCASE 2022 recordings, as the authors or the "
        "challenge published it. A search of fewer machines, or other recordings, can't stand beside them. "
        "One of the two baselines has 54.0 on eval; which of them the source leaves open. Almudévar et al. "
        "give 66.4 for their best single setting, as their own Ω (eq. 1), without saying on which clips.",
    ]
