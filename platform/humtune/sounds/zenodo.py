"""What a Zenodo record holds: archives with their sizes and checksums.

pooch can read a DOI's checksums, but not its sizes, which the question for disk space needs.
"""

import re
from dataclasses import dataclass
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from humtune import __version__
from humtune.errors import HumtuneError
from humtune.sounds.editions import Kind

SITE = "https://zenodo.org"
TIMEOUT = (10.0, 60.0)  # seconds to connect, and between two pieces of an answer

_RETRIES = Retry(
    total=3, backoff_factor=0.5, status_forcelist=(429, 500, 502, 503, 504), raise_on_status=False
)
_PREFIXES = {"dev": "dev(?:_data)?", "train": "eval_data", "test": "eval_data"}


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
