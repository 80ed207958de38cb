"""A model in MLflow: written into a run of its search with what it says of the clips, and read back."""

import hashlib
import json
import shutil
import tempfile
import unicodedata
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import humtune
from humtune.ledger import Ledger
from humtune.metrics.cells import Array
from humtune.runtime import served
from humtune.runtime.healthy import HEALTHY
from humtune.runtime.info import INFO, MODEL, ModelInfo
from humtune.sounds.table import ClipTable
from humtune.tracking import runs
from humtune.tracking.sync import find_experiment

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.pyfunc import PyFuncModel

DIGEST = "humtune.digest"  # of the model's files
LONGEST = 240  # signs of a name that PostgreSQL takes, a mark left room for
_SCORES = "scores.json"  # what a model said of the labelled clips
_SERVED = ("onnxruntime", "numpy", "pydantic")


def log_model(
    client: "MlflowClient", uri: str, ledger: Ledger, folder: Path, info: ModelInfo, scores: Array
) -> tuple[str, "LoggedModel"]:
    """Put model, example and scores into a run of the search's experiment: the run's id, and the model.

    All by the client: MLflow's own `log_model` asks the environment, and whatever run is active, where to.
    """
    from mlflow.entities import LoggedModelOutput

    digest, clips = model_digest(folder), ledger.clips(info.machine)
    tags = {runs.SEARCH: ledger.name, runs.MACHINE: info.machine, "trial": info.trial, DIGEST: digest}
    stored = {
        "data_hash": ledger.plan.machines[info.machine].data_hash,
        "scores": dict(zip(clip_keys(clips), scores.tolist(), strict=True)),
    }
    experiment = find_experiment(client, uri, ledger)
    for left in client.search_runs([experiment], f"tags.`{DIGEST}` = '{digest}'"):
        client.delete_run(left.info.run_id)  # of a process that was killed before the version was made
    run_id = str(client.create_run(experiment, tags=tags, run_name=f"{info.machine} model").info.run_id)
    client.log_dict(run_id, stored, _SCORES)
    model = client.create_logged_model(experiment, model_name(info.machine), source_run_id=run_id)
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    with tempfile.TemporaryDirectory(prefix="humtune-") as place:
        _save(Path(place) / "model", folder, info, run_id, model)
        client.log_model_artifacts(model.model_id, f"{place}/model")
    client.finalize_logged_model(model.model_id, "READY")
    client.set_terminated(run_id)
    return run_id, model


def model_name(machine: str) -> str:
    """What a machine's model is called in its run, where MLflow takes fewer signs than in its registry."""
    return plain(machine).replace(".", "_")[:LONGEST]


def plain(name: str) -> str:
    """A name with `_` for all that is no letter, digit, space, dot, hyphen or underscore."""
    name = unicodedata.normalize("NFC", name)
    return "".join(c if unicodedata.category(c)[0] in "LMN" or c in " .-_" else "_" for c in name)


def load_model(client: "MlflowClient", uri: str, champion: "ModelVersion", place: str) -> "PyFuncModel":
    """A version as it is served, from wherever that MLflow keeps it."""
    import mlflow

    if champion.model_id:
        source = client.get_logged_model(champion.model_id).artifact_location
    else:
        source = client.get_model_version_download_uri(champion.name, champion.version)
    return mlflow.pyfunc.load_model(
        mlflow.artifacts.download_artifacts(artifact_uri=source, dst_path=place, tracking_uri=uri)
    )


def read_scores(client: "MlflowClient", champion: "ModelVersion", place: str) -> dict[str, Any]:
    """What a version's run says of its scores; nothing where it is gone."""
    from mlflow.exceptions import MlflowException

    try:
        content = Path(client.download_artifacts(champion.run_id, _SCORES, place)).read_bytes()
    except (MlflowException, OSError):
        return {}
    stored: dict[str, Any] = json.loads(content)
    return stored


def clip_keys(clips: ClipTable) -> list[str]:
    """What a clip is called wherever it stands in a table."""
    columns = zip(clips.part.tolist(), clips.split.tolist(), clips.name.tolist(), strict=True)
    return ["/".join(column) for column in columns]


def _save(place: Path, folder: Path, info: ModelInfo, run_id: str, model: "LoggedModel") -> None:
    """Write a model as MLflow serves it."""
    import mlflow
    from mlflow.models import Model

    leaving = place.with_name(f"{place.name}-leaving") / folder.name
    shutil.copytree(folder, leaving, ignore=shutil.ignore_patterns(HEALTHY))  # recordings stay in the house
    mlflow.pyfunc.save_model(
        place,
        loader_module=served.__name__,
        data_path=str(leaving),
        code_paths=[str(Path(humtune.__file__).parent)],
        pip_requirements=[f"{package}=={version(package)}" for package in _SERVED],
        mlflow_model=Model(
            artifact_path=model.artifact_location,
            run_id=run_id,
            model_uuid=model.model_id,
            model_id=model.model_id,
            metadata={"sample_rate": info.sample_rate, "threshold": info.threshold.value},
        ),
        **_interface(info),
    )
    shutil.rmtree(leaving.parent)
    for compiled in place.rglob("__pycache__"):
        shutil.rmtree(compiled)


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
    }


def model_digest(folder: Path) -> str:
    """A short mark of a model's files."""
    content = b"".join((folder / name).read_bytes() for name in (MODEL, INFO))
    return hashlib.sha256(content).hexdigest()[:16]
