"""The data sets of DCASE Task 2, year by year: their Zenodo records, and the archives that a record holds.

pooch can read a DOI's checksums, but not its sizes, which the question for disk space needs.
"""

import re
from dataclasses import dataclass
from typing import Any, Literal

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from humtune import __version__
from humtune.errors import HumtuneError, UsageError

SITE = "https://zenodo.org"
TIMEOUT = (10.0, 60.0)  # seconds to connect, and between two pieces of an answer

_RETRIES = Retry(
    total=3, backoff_factor=0.5, status_forcelist=(429, 500, 502, 503, 504), raise_on_status=False
)
_PREFIXES = {"dev": "dev(?:_data)?", "train": "eval_data", "test": "eval_data"}

Kind = Literal["dev", "train", "test"]  # development set; training and test clips of the evaluation set

_FOLDERS = "the folders ground_truth_data and ground_truth_domain of {} into {{folder}}"


@dataclass(frozen=True)
class Archive:
    """One zip file of a record."""

    name: str
    machine: str
    kind: Kind
    size: int  # bytes
    checksum: str  # "md5:…"
    url: str

    @property
    def root(self) -> str:
        """The folder of a data set that its recordings go to."""
        return "dev_data" if self.kind == "dev" else "eval_data"


def open_session() -> requests.Session:
    """A session that says who asks, and asks again where the server is busy."""
    session = requests.Session()
    session.headers["User-Agent"] = f"humtune/{__version__}"
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=_RETRIES))
    return session


def read_record(
    session: requests.Session, record: int, kind: Kind, *, site: str = SITE
) -> dict[str, Archive]:
    """A record's archives by machine; of several revisions (…_r2.zip) the latest.

    HumtuneError where the site can't be reached or its answer is not a record.
    """
    url = f"{site}/api/records/{record}"
    try:
        response = session.get(url, timeout=TIMEOUT)
        response.raise_for_status()
        files = [_archive(file, kind) for file in response.json()["files"]]
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, requests.RequestException) and not isinstance(error, requests.JSONDecodeError):
            raise unreachable(url, error) from error
        raise HumtuneError(f"{url}: not the description of a record ({error!r})") from error
    except requests.RequestException as error:
        raise unreachable(url, error) from error
    latest = sorted((found for found in files if found), key=lambda found: found[0])
    return {archive.machine: archive for _, archive in latest}


def unreachable(url: str, error: requests.RequestException) -> HumtuneError:
    """What to say where a site does not answer, or not with what was asked for."""
    if error.response is not None:
        return HumtuneError(f"{url}: the server answers {error.response.status_code} {error.response.reason}")
    kind = "no answer in time" if isinstance(error, requests.Timeout) else "no connection, or it broke off"
    return HumtuneError(f"{url}: {kind}; is this computer online? The same command goes on where it was")


def _archive(file: dict[str, Any], kind: Kind) -> tuple[int, Archive] | None:
    """Revision and archive of dev_fan.zip, eval_data_fan_train_r2.zip, …; None for any other file."""
    part = "" if kind == "dev" else f"_{kind}"
    pattern = (
        rf"{_PREFIXES[kind]}(?:{part})?_(?P<machine>[A-Za-z0-9]+)(?:{part})?(?:_r(?P<revision>\d+))?\.zip"
    )
    found = re.fullmatch(pattern, file["key"])
    if found is None:
        return None
    if re.fullmatch(r"md5:[0-9a-f]{32}", file["checksum"]) is None:
        raise ValueError(f"{file['key']} has the checksum {file['checksum']!r}; expected md5:…")
    size, url = int(file["size"]), str(file["links"]["self"])
    machine = found["machine"]
    return int(found["revision"] or 1), Archive(file["key"], machine, kind, size, file["checksum"], url)


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
