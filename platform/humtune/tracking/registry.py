"""The exported models of a search in MLflow's registry: a version each, and a champion only by proof."""

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from humtune.ledger import Ledger
from humtune.metrics.bootstrap import LEVEL, Difference, paired
from humtune.metrics.cells import Array, Cells
from humtune.names import count
from humtune.results.reading import labelled_clips
from humtune.runtime.info import ModelInfo, read_info
from humtune.sounds.parallel import map_in_order
from humtune.sounds.sound_file import to_waveform
from humtune.tracking.models import (
    DIGEST,
    LONGEST,
    clip_keys,
    load_model,
    log_model,
    model_digest,
    plain,
    read_scores,
)
from humtune.tracking.place import complaint, connect, exclusive, is_server, tracking_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

CHAMPION = "champion"
# `due` on a version that shall be the champion and isn't yet; the tag's name stands in users' registries
_DUE = "humtune.crowned"


@dataclass(frozen=True)
class Registered:
    """A model's place in the registry, and why it is the champion or isn't."""

    name: str  # as `registered_name`
    version: str
    is_champion: bool
    reason: str

    def __str__(self) -> str:
        standing = CHAMPION if self.is_champion else f"not {CHAMPION}"
        return f"{self.name} version {self.version}, {standing}: {self.reason}"


def register(ledger: Ledger, folder: Path, scores: Array, *, uri: str | None = None) -> Registered:
    """Register the model in a folder; it becomes champion where there is none, or where it is better.

    `scores` [N] are what the model says of the ledger's scored clips. Better is decided by the
    paired bootstrap of Ω: its 90 % interval lies above 0, on the hidden labelled clips where the search has
    some, else on the dev clips. A model that is there already stays as it is. HumtuneError where MLflow
    refuses.
    """
    uri = uri or tracking_uri(ledger.storage)
    with exclusive(uri):
        try:
            return _register(connect(uri), uri, ledger, folder, scores)
        except Exception as error:
            if said := complaint(uri, error):
                raise said from error
            raise


def registered_name(search: str, machine: str) -> str:
    """What a machine's model is called in the registry: `<search>-<machine>`.

    Names, URIs and filters of MLflow each forbid some signs, and databases long names. Where there are such,
    the name is what can be kept, and a mark that tells it from others of which the same is kept.
    """
    name = f"{search}-{machine}"
    kept = plain(name)[:LONGEST]
    return name if kept == name else f"{kept}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _register(client: "MlflowClient", uri: str, ledger: Ledger, folder: Path, scores: Array) -> Registered:
    info = read_info(folder)
    name, digest = registered_name(ledger.name, info.machine), model_digest(folder)
    known = [
        found
        for found in client.search_model_versions(f"tags.`{DIGEST}` = '{digest}'")
        if found.name == name  # a name may hold what a filter takes for its own
    ]
    champion = _champion(client, name)
    if known:
        latest = max(known, key=lambda found: int(found.version))
        if latest.tags.get(_DUE) == "due":
            _make_champion(client, name, latest.version)
            champion = latest
        is_champion = champion is not None and champion.version == latest.version
        return Registered(name, str(latest.version), is_champion, "registered before")
    # The comparison first: where it can't be made, nothing is half registered.
    wins, reason = (
        (True, "the first one") if champion is None else _compare(client, uri, ledger, champion, info, scores)
    )
    run_id, model = log_model(client, uri, ledger, folder, info, scores)
    if champion is None and _find(client, name) is None:
        client.create_registered_model(name)
    tags = {DIGEST: digest, "trial": info.trial, "score_type": info.score_type}
    tags |= {_DUE: "due"} if wins else {}  # should we be killed before it is
    # A server finds its own model; a database asks whichever MLflow the environment names.
    source = f"models:/{model.model_id}" if is_server(uri) else model.artifact_location
    made = client.create_model_version(
        name, source, run_id, tags, description=reason, model_id=model.model_id
    )
    if wins:
        _make_champion(client, name, made.version)
    return Registered(name, str(made.version), wins, reason)


def _make_champion(client: "MlflowClient", name: str, number: str) -> None:
    client.set_registered_model_alias(name, CHAMPION, number)
    client.delete_model_version_tag(name, number, _DUE)


def _compare(
    client: "MlflowClient",
    uri: str,
    ledger: Ledger,
    champion: "ModelVersion",
    info: ModelInfo,
    scores: Array,
) -> tuple[bool, str]:
    """Whether a model is better than the champion, and the comparison in words."""
    labelled = labelled_clips(ledger.clips(info.machine))
    cells = labelled.hidden or labelled.choosing
    against = f"version {champion.version}"
    if cells is None:
        return False, f"no labelled clips to hold it against {against} by"
    other = _scores_of(client, uri, ledger, champion, info.machine, cells)
    found = paired(scores, other, cells)
    wins = bool(found.low > 0)  # one model in twenty that is no better gets as far
    return wins, f"{_verdict(found, wins)} {against} on the {_kind(labelled.hidden)} clips {_told(found)}"


def _kind(hidden: Cells | None) -> str:
    return "hidden" if hidden else "labelled dev"


def _verdict(found: Difference, wins: bool) -> str:
    return (
        "better than" if wins else "not shown to be better than" if found.estimate > 0 else "no better than"
    )


def _told(found: Difference) -> str:
    low, high = (f"{100 * side:+.1f}" for side in (found.low, found.high))
    interval = f"{low} to {high} with {LEVEL:.0%}"
    return f"(Ω {100 * found.estimate:+.1f} points, {interval}, paired p {found.p:.3f})"


def _scores_of(
    client: "MlflowClient", uri: str, ledger: Ledger, champion: "ModelVersion", machine: str, cells: Cells
) -> Array:
    """What the champion says of the ledger's scored clips [N], NaN where nothing is compared.

    As it was written down, where it has scored the same recordings; else it scores them now.
    """
    clips = ledger.clips(machine)
    wanted = np.concatenate([part for cell in cells.cells for part in (cell.normal, cell.anomaly)])
    keys, found = clip_keys(clips), np.full(len(clips), np.nan)
    with tempfile.TemporaryDirectory(prefix="humtune-") as place:
        stored = read_scores(client, champion, place)
    if stored.get("data_hash") == ledger.plan.machines[machine].data_hash and all(
        keys[i] in stored["scores"] for i in wanted
    ):
        found[wanted] = [stored["scores"][keys[i]] for i in wanted]
        return found
    bank = ledger.bank(machine)
    place_of = {key: i for i, key in enumerate(clip_keys(bank.table))}
    with tempfile.TemporaryDirectory(prefix="humtune-") as place:
        model = load_model(client, uri, champion, place)

        def score(clip: int) -> float:
            waveform = to_waveform(bank.clip(place_of[keys[clip]]))
            return float(model.predict(waveform[None])[0]["score"])

        title = f"{machine}: the champion scores {count(len(wanted), 'clip')}"
        found[wanted] = list(map_in_order(score, wanted.tolist(), title=title))
    return found


def _champion(client: "MlflowClient", name: str) -> "ModelVersion | None":
    model = _find(client, name)
    number = model.aliases.get(CHAMPION) if model else None
    return client.get_model_version(name, number) if number else None


def _find(client: "MlflowClient", name: str) -> "RegisteredModel | None":
    from mlflow.exceptions import MlflowException

    try:
        return client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
