"""A small search with really trained trials, made once, and detectors that need no training."""

import copy
import io
import shutil
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from pickle import PicklingError
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from humtune.config import SAMPLE_RATE
from humtune.detectors.classifier.backbones import MobileFaceNet
from humtune.detectors.classifier.fit import Training
from humtune.detectors.classifier.recipe import Classifier
from humtune.detectors.detector import Detector
from humtune.detectors.encoder import scoring_chunks
from humtune.detectors.frontends import Spectrogram
from humtune.export import onnx as exporter
from humtune.ledger import Ledger
from humtune.plan import Asked, Machine, Plan
from humtune.records import TrialRecord, TrialState, trial_id
from humtune.search.evaluator import scored_table
from humtune.search.trial import TrialRun
from humtune.sounds.bank import ClipBank, load_banks
from humtune.sounds.synthetic import Sizes, synthesise
from humtune.sounds.table import NORMAL, SOURCE, ClipTable, Role
from humtune.storage import Storage

TINY = Classifier(
    spectrogram=Spectrogram(n_fft=256, chunk_frames=32, n_mels=32),
    backbone=MobileFaceNet(width=0.125),
    training=Training(epochs=4, batch_size=16, chunks_per_clip=2),
)


@pytest.fixture(scope="session", autouse=True)
def _each_export_once() -> Iterator[None]:
    """What takes an export's seconds is done once for the same module."""
    graphs: dict[bytes, onnx.ModelProto] = {}
    export = exporter._export

    def once(module: nn.Module, *example: torch.Tensor, **names: Any) -> onnx.ModelProto:
        stream = io.BytesIO()
        try:
            torch.save((module.eval(), example, repr(names)), stream)
        except (TypeError, AttributeError, PicklingError, RuntimeError):
            # a network's graph at work, or parametrised weights: can't be told from another
            return export(module, *example, **names)
        key = sha256(stream.getvalue()).digest()
        if key not in graphs:
            graphs[key] = export(module, *example, **names)
        found = onnx.ModelProto()
        found.CopyFrom(graphs[key])
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporter, "_export", once)
        yield


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """The storage of the search "small": fan has two complete trials, valve has none."""
    folder = tmp_path_factory.mktemp("search")
    sizes = Sizes(sections=3, train_source=12, train_target=3, test_per_cell=4, seconds=1.0)
    synthesise(folder / "data", machines=("fan", "valve"), sizes=sizes)
    storage = Storage(folder / "runs")
    banks = load_banks(folder / "data", storage)
    ledger = Ledger(storage, "small")
    plan = Plan(
        name="small",
        created=time.time(),
        version="0",
        asked=Asked(space={}, data=str(folder / "data"), trials=2),
        machines={m: Machine(bank=bank.folder, data_hash=bank.hash) for m, bank in banks.items()},
    )
    ledger.create(plan, {machine: scored_table(bank, None) for machine, bank in banks.items()})
    for number in range(2):
        train_fan(ledger, number, seed=number)
    ledger.write(begun("valve", 0, TINY))
    return folder / "runs"


def train_fan(ledger: Ledger, number: int, **changes: object) -> TrialRecord:
    """Train another trial of fan, of the tiny recipe with some changes, to its end."""
    record = begun("fan", number, TINY.model_copy(update=changes))
    trial = TrialRun(ledger, record, [ledger.bank("fan")], measured=())
    while (record := trial.epoch()).state == TrialState.RUNNING:
        pass
    return record


def begun(machine: str, number: int, recipe: Classifier) -> TrialRecord:
    return TrialRecord(
        id=trial_id(machine, number),
        machine=machine,
        number=number,
        origin="sampler",
        params={},
        config=recipe,
        started=time.time(),
    )


@pytest.fixture
def ledger(finished, tmp_path) -> Ledger:
    """A copy of the finished search, to spoil."""
    shutil.copytree(finished, tmp_path / "runs")
    return Ledger.open(Storage(tmp_path / "runs"), "small")


def bank_of(clips: list[np.ndarray]) -> ClipBank:
    """A bank in memory."""
    n = len(clips)
    table = ClipTable.from_columns(
        machine="fan",
        name=[f"{i}.wav" for i in range(n)],
        part="dev",
        split="train",
        section=0,
        domain=SOURCE,
        label=NORMAL,
        attributes="",
        role=str(Role.TRAIN),
    )
    offsets = np.cumsum([0, *map(len, clips)])
    return ClipBank(table, np.concatenate(clips).astype(np.int16), offsets, "none")


def coloured_noise(rng: np.random.Generator, length: int) -> np.ndarray:
    """Noise of a colour and loudness of its own, int16 [length]."""
    spectrum = np.fft.rfft(rng.normal(size=length))
    colour = np.interp(np.linspace(0, 7, len(spectrum)), np.arange(8), rng.uniform(-15, 15, 8))  # dB
    spectrum *= 10 ** (colour / 20)
    wave = np.fft.irfft(spectrum, length)
    return np.rint(wave / np.abs(wave).max() * rng.uniform(2_000, 30_000)).astype(np.int16)


@pytest.fixture(scope="session")
def train():
    return train_fan


@pytest.fixture(scope="session")
def make_bank():
    return bank_of


@pytest.fixture(scope="session")
def noises() -> ClipBank:
    rng = np.random.default_rng(5)
    lengths = rng.integers(int(1.5 * SAMPLE_RATE), 4 * SAMPLE_RATE, 24)
    return bank_of([coloured_noise(rng, int(n)) for n in lengths])


@pytest.fixture(scope="session")
def make_detector(noises):
    """Make an untrained detector whose embeddings vary as a trained one's: batch norms know their inputs."""

    def make(recipe: Classifier, bank: ClipBank = noises) -> Detector:
        encoder = recipe.build(("a", "b", "c"))
        detector = Detector(recipe, encoder, machine="fan")
        generator = torch.Generator().manual_seed(0)
        for module in encoder.modules():
            if isinstance(module, nn.PReLU):
                nn.init.uniform_(module.weight, -0.1, 0.4, generator)
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None
                nn.init.uniform_(module.weight, 0.8, 1.2, generator)
                nn.init.uniform_(module.bias, -0.2, 0.2, generator)
        indices = np.arange(12)
        batch = torch.cat(list(scoring_chunks(bank, indices, recipe.spectrogram, 64)))
        encoder.frontend.fit([batch])
        encoder.train()
        with torch.no_grad():
            encoder.features(batch)
        detector.reference = detector.encode(bank, indices)
        detector.join(bank, np.arange(12, len(bank.table)))
        found = copy.deepcopy(detector)
        found.encoder.eval()
        return found

    return make
