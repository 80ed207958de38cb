"""The exported models of a search in MLflow's registry: a version each, and a champion only by proof."""

import hashlib
import json
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import humtune
from humtune.evaluation.bootstrap import LEVEL, Difference, paired
from humtune.evaluation.cells import Array, Cells
from humtune.ledger import Ledger
from humtune.results.labelled import labelled_clips
from humtune.runtime import served
from humtune.runtime.info import INFO, MODEL, ModelInfo, read_info
from humtune.sounds.audio import to_waveform
from humtune.sounds.parallel import map_in_order
from humtune.sounds.table import ClipTable
from humtune.tracking import runs
from humtune.tracking.place import complaint, connect, exclusive, tracking_uri
from humtune.tracking.sync import find_experiment

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel
    from mlflow.models.model import ModelInfo as LoggedModel

CHAMPION = "champion"
_DIGEST = "humtune.digest"  # of the model's files
_SCORES = "scores.json"  # what a model said of the labelled clips
_NEEDED = ("onnxruntime", "numpy", "pydantic")


@dataclass(frozen=True)
class Registered:
    """A model's place in the registry, and why it is the champion or isn't."""

    name: str  # <search>-<machine>
    version: str
    is_champion: bool
    reason: str

    def __str__(self) -> str:
        crown = f", {CHAMPION}" if self.is_champion else f", not {CHAMPION}"
        return f"{self.name} version {self.version}{crown}: {self.reason}"


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


def _register(client: "MlflowClient", uri: str, ledger: Ledger, folder: Path, scores: Array) -> Registered:
    import mlflow

    mlflow.set_tracking_uri(uri)  # models are logged and loaded by functions that no client can be told to
    info = read_info(folder)
    name, digest = f"{ledger.name}-{info.machine}", _digest(folder)
    known = client.search_model_versions(f"name = '{name}' and tags.`{_DIGEST}` = '{digest}'")
    champion = _champion(client, name)
    if known:
        number = str(max(int(found.version) for found in known))
        is_champion = champion is not None and str(champion.version) == number
        return Registered(name, number, is_champion, "registered before")
    # The comparison first: where it can't be made, nothing is half registered.
    wins, reason = (
        (True, "the first one") if champion is None else _compare(client, ledger, champion, info, scores)
    )
    run_id, model = _log(client, uri, ledger, folder, info, scores)
    if champion is None and _find(client, name) is None:
        client.create_registered_model(name)
    tags = {_DIGEST: digest, "trial": info.trial, "score_type": info.score_type}
    made = client.create_model_version(
        name, model.model_uri, run_id, tags, description=reason, model_id=model.model_id
    )
    number = str(made.version)
    if wins:
        client.set_registered_model_alias(name, CHAMPION, number)
    return Registered(name, number, wins, reason)


def _log(
    client: "MlflowClient", uri: str, ledger: Ledger, folder: Path, info: ModelInfo, scores: Array
) -> tuple[str, "LoggedModel"]:
    """Put model, example and scores into a run of the search's experiment: the run, and the model in it."""
    import mlflow

    tags = {runs.SEARCH: ledger.name, runs.MACHINE: info.machine, "trial": info.trial}
    clips = ledger.clips(info.machine)
    heard = {
        "data_hash": ledger.plan.data_hash[info.machine],
        "scores": dict(zip(_keys(clips), scores.tolist(), strict=True)),
    }
    experiment = find_experiment(client, uri, ledger)
    with mlflow.start_run(experiment_id=experiment, run_name=f"{info.machine} model", tags=tags) as run:
        mlflow.log_dict(heard, _SCORES)
        logged = mlflow.pyfunc.log_model(
            name=info.machine,
            loader_module=served.__name__,
            data_path=str(folder),
            code_paths=[str(Path(humtune.__file__).parent)],
            pip_requirements=[f"{package}=={version(package)}" for package in _NEEDED],
            **_interface(info),
        )
    return str(run.info.run_id), logged


def _interface(info: ModelInfo) -> dict[str, Any]:
    """What goes in and what comes out: waveforms [n, samples], and a score and a decision of each."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    waveforms = TensorSpec(np.dtype(np.float32), (-1, -1))
    answers = [ColSpec("double", "score"), ColSpec("boolean", "anomaly")]
    noise = np.random.default_rng(0).normal(0, 0.01, (1, info.least_samples))
    return {
        "signature": ModelSignature(Schema([waveforms]), Schema(answers)),
        "input_example": noise.astype(np.float32),
        "metadata": {"sample_rate": info.sample_rate, "threshold": info.threshold.value},
    }


def _compare(
    client: "MlflowClient", ledger: Ledger, champion: "ModelVersion", info: ModelInfo, scores: Array
) -> tuple[bool, str]:
    """Whether a model is better than the champion, and the comparison in words."""
    labelled = labelled_clips(ledger.clips(info.machine))
    cells = labelled.hidden or labelled.choosing
    against = f"version {champion.version}"
    if cells is None:
        return False, f"no labelled clips to hold it against {against} by"
    other = _scores_of(client, ledger, champion, info.machine, cells)
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
    client: "MlflowClient", ledger: Ledger, champion: "ModelVersion", machine: str, cells: Cells
) -> Array:
    """What the champion says of the ledger's scored clips [N], NaN where nothing is compared.

    As it was written down, where it has heard the same recordings; else it hears them now.
    """
    import mlflow

    clips = ledger.clips(machine)
    wanted = np.concatenate([part for cell in cells.cells for part in (cell.normal, cell.anomaly)])
    keys, found = _keys(clips), np.full(len(clips), np.nan)
    with tempfile.TemporaryDirectory(prefix="humtune-") as place:
        heard = _heard(client, champion, place)
    if heard.get("data_hash") == ledger.plan.data_hash[machine] and all(
        keys[i] in heard["scores"] for i in wanted
    ):
        found[wanted] = [heard["scores"][keys[i]] for i in wanted]
        return found
    model = mlflow.pyfunc.load_model(f"models:/{champion.name}/{champion.version}")
    bank = ledger.bank(machine)
    place_of = {key: i for i, key in enumerate(_keys(bank.table))}

    def hear(clip: int) -> float:
        waveform = to_waveform(bank.clip(place_of[keys[clip]]))
        return float(model.predict(waveform[None])[0]["score"])

    title = f"{machine}: the champion hears {len(wanted)} clips"
    found[wanted] = list(map_in_order(hear, wanted.tolist(), title=title))
    return found


def _heard(client: "MlflowClient", champion: "ModelVersion", place: str) -> dict[str, Any]:
    """What a version's run says of its scores; nothing where it is gone."""
    from mlflow.exceptions import MlflowException

    try:
        content = Path(client.download_artifacts(champion.run_id, _SCORES, place)).read_bytes()
    except (MlflowException, OSError):
        return {}
    heard: dict[str, Any] = json.loads(content)
    return heard


def _keys(clips: ClipTable) -> list[str]:
    """What a clip is called wherever it stands in a table."""
    columns = zip(clips.part.tolist(), clips.split.tolist(), clips.name.tolist(), strict=True)
    return ["/".join(column) for column in columns]


def _champion(client: "MlflowClient", name: str) -> "ModelVersion | None":
    model = _find(client, name)
    number = model.aliases.get(CHAMPION) if model else None
    return client.get_model_version(name, number) if number else None


def _find(client: "MlflowClient", name: str) -> "RegisteredModel | None":
    found = client.search_registered_models(f"name = '{name}'")
    return found[0] if found else None


def _digest(folder: Path) -> str:
    content = b"".join((folder / name).read_bytes() for name in (MODEL, INFO))
    return hashlib.sha256(content).hexdigest()[:16]
