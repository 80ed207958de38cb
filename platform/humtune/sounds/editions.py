"""The data sets of DCASE Task 2, year by year: their Zenodo records, and who tells the truth about them."""

from dataclasses import dataclass
from typing import Literal

from humtune.errors import UsageError

Kind = Literal["dev", "train", "test"]  # development set; training and test clips of the evaluation set

_FOLDERS = "the folders ground_truth_data and ground_truth_domain of {} into {{folder}}"


@dataclass(frozen=True)
class Edition:
    """One year's data set: a Zenodo record for each kind of archive."""

    year: int
    dev: int
    train: int
    test: int
    truth: str  # what to copy where, with {folder} for the data set's folder

    def records(self, *, evaluation: bool = True) -> dict[Kind, int]:
        """Record numbers by kind, in the order in which they are fetched."""
        return {"dev": self.dev, "train": self.train, "test": self.test} if evaluation else {"dev": self.dev}


EDITIONS = {
    edition.year: edition
    for edition in (
        Edition(
            2020,
            dev=3678171,
            train=3727685,
            test=3841772,
            truth="the lines of eval_data_list.csv (https://zenodo.org/records/3951620), as file,0|1, into "
            "{folder}/ground_truth_data/ground_truth_<machine>_section_<id>_test.csv",
        ),
        Edition(
            2021,
            dev=4562016,
            train=4660992,
            test=4884786,
            truth="the folder ground_truth_data of https://github.com/y-kawagu/dcase2021_task2_evaluator "
            "into {folder}",
        ),
        Edition(
            2022,
            dev=6355122,
            train=6462969,
            test=6586456,
            truth=_FOLDERS.format("https://github.com/Kota-Dohi/dcase2022_evaluator"),
        ),
        Edition(
            2023,
            dev=7882613,
            train=7830345,
            test=7860847,
            truth=_FOLDERS.format("https://github.com/nttcslab/dcase2023_task2_evaluator"),
        ),
        Edition(
            2024,
            dev=10902294,
            train=11259435,
            test=11363076,
            truth=_FOLDERS.format("https://github.com/nttcslab/dcase2024_task2_evaluator"),
        ),
        Edition(
            2025,
            dev=15097779,
            train=15392814,
            test=15519362,
            truth="the test clips, renamed by tools/rename_eval_wav.py of "
            "https://github.com/nttcslab/dcase2023_task2_baseline_ae, into "
            "{folder}/eval_data/<machine>/test_rename",
        ),
    )
}


def edition(year: int) -> Edition:
    """The data set of a year; UsageError that lists the known years for another."""
    if year not in EDITIONS:
        known = ", ".join(map(str, EDITIONS))
        raise UsageError(f"year {year}: not known to humtune; the years of DCASE Task 2 it fetches: {known}")
    return EDITIONS[year]
