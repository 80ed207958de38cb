"""A small data set in the DCASE 2022 layout, written with soundfile alone; a server as Zenodo is one."""

import hashlib
import io
import json
import re
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import soundfile

from humtune.config import SAMPLE_RATE
from humtune.sounds.download.zenodo import EDITIONS


def write_wav(path: Path, seconds: float = 0.05, *, seed: int = 0, rate: int = SAMPLE_RATE) -> np.ndarray:
    """Write mono 16 bit noise; the samples."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(seed).integers(-9000, 9000, round(seconds * rate)).astype(np.int16)
    soundfile.write(path, samples, rate, subtype="PCM_16")
    return samples


@pytest.fixture
def wav() -> Callable[..., np.ndarray]:
    return write_wav


@pytest.fixture
def dcase2022(tmp_path: Path) -> Path:
    """Machine fan: sections 0 (dev) and 3 (eval), three source and one target training clip each."""
    data = tmp_path / "data"
    seed = 0
    for part, section in (("dev", 0), ("eval", 3)):
        fan = data / f"{part}_data" / "fan"
        train = [("source", i, "m-n_W") for i in range(3)] + [("target", 0, "m-n_X")]
        for domain, index, tail in train:
            name = f"section_{section:02d}_{domain}_train_normal_{index:04d}_{tail}.wav"
            write_wav(fan / "train" / name, seed=(seed := seed + 1))
        for i, (domain, label) in enumerate(
            (d, b) for d in ("source", "target") for b in ("normal", "anomaly")
        ):
            named = f"section_{section:02d}_{domain}_test_{label}_{0:04d}_m-n_W.wav"
            name = named if part == "dev" else f"section_{section:02d}_{i:04d}.wav"
            write_wav(fan / "test" / name, 0.05 + 0.01 * i, seed=(seed := seed + 1))
    for folder, column in (("ground_truth_data", "0101"), ("ground_truth_domain", "0011")):
        (data / folder).mkdir()
        rows = [f"section_03_{i:04d}.wav,{value}\n" for i, value in enumerate(column)]
        (data / folder / "ground_truth_fan_section_03_test.csv").write_text("".join(rows))
    return data


def zipped_noise(machine: str, *names: str, seed: int = 0) -> bytes:
    """A machine's archive: four seconds of noise a file, which don't get smaller by zipping."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as content:
        for i, name in enumerate(names):
            samples = np.random.default_rng([seed, i]).integers(-9000, 9000, 4 * SAMPLE_RATE).astype(np.int16)
            wav = io.BytesIO()
            soundfile.write(wav, samples, SAMPLE_RATE, format="WAV", subtype="PCM_16")
            content.writestr(f"{machine}/{name}", wav.getvalue())
        content.writestr(f"{machine}/attributes_00.csv", "file_name,d1p,d1v\n")
    return packed.getvalue()


def zipped_dev(machine: str) -> bytes:
    """A machine's development set: one training clip, one test clip."""
    train, test = "section_00_source_train_normal_0000_a_1.wav", "section_00_target_test_anomaly_0000_a_1.wav"
    return zipped_noise(machine, f"train/{train}", f"test/{test}")


@dataclass
class Zenodo:
    """A server that answers as Zenodo does: its records, the faults to show, and what was asked."""

    site: str = ""
    records: dict[int, dict[str, bytes]] = field(default_factory=dict)
    checksums: dict[str, str] = field(default_factory=dict)  # instead of the true ones
    breaks: dict[str, list[int]] = field(
        default_factory=dict
    )  # file -> bytes after which each answer breaks off
    busy: dict[str, int] = field(default_factory=dict)  # path -> times to answer 503
    takes_ranges: bool = True
    asked: list[tuple[str, str | None]] = field(default_factory=list)  # file, Range
    pack = staticmethod(zipped_noise)
    pack_dev = staticmethod(zipped_dev)

    def record(self, number: int) -> bytes:
        files = [
            {
                "key": name,
                "size": len(data),
                "checksum": f"md5:{self.checksums.get(name) or hashlib.md5(data).hexdigest()}",
                "links": {"self": f"{self.site}/api/records/{number}/files/{name}/content"},
            }
            for name, data in self.records[number].items()
        ]
        return json.dumps({"id": number, "files": files}).encode()


def handler(zenodo: Zenodo) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = re.fullmatch(r"/api/records/(\d+)(?:/files/([^/]+)/content)?", self.path)
            number, name = (int(found[1]), found[2]) if found else (0, None)
            if zenodo.busy.get(self.path, 0) > 0:
                zenodo.busy[self.path] -= 1
                self._answer(503, b"")
            elif number not in zenodo.records or (name and name not in zenodo.records[number]):
                self._answer(404, b"{}")
            elif name is None:
                self._answer(200, zenodo.record(number))
            else:
                self._file(name, zenodo.records[number][name])

        def _file(self, name: str, data: bytes) -> None:
            wanted = self.headers["Range"]
            zenodo.asked.append((name, wanted))
            begin = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and zenodo.takes_ranges else 0
            breaks = zenodo.breaks.get(name)
            count = breaks.pop(0) if breaks else None
            extra = {"Content-Range": f"bytes {begin}-{len(data) - 1}/{len(data)}"} if begin else {}
            self._answer(206 if begin else 200, data[begin:], count, extra)

        def _answer(
            self, status: int, body: bytes, count: int | None = None, extra: dict[str, str] | None = None
        ) -> None:
            self.send_response(status)
            for key, value in {"Content-Length": str(len(body)), **(extra or {})}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(body[:count])

        def log_message(self, *words: object) -> None:
            pass

    return Handler


def dcase_2022() -> dict[int, dict[str, bytes]]:
    """Its records, with fan and valve."""
    year, machines = EDITIONS[2022], ("fan", "valve")
    return {
        year.dev: {"readme.md": b"-"} | {f"dev_{m}.zip": zipped_dev(m) for m in machines},
        year.train: {
            f"eval_data_{m}_train.zip": zipped_noise(
                m, "train/section_03_source_train_normal_0000_a_1.wav", seed=1
            )
            for m in machines
        },
        year.test: {
            f"eval_data_{m}_test.zip": zipped_noise(m, "test/section_03_0000.wav", seed=2) for m in machines
        },
    }


@pytest.fixture
def zenodo(monkeypatch: pytest.MonkeyPatch) -> Iterator[Zenodo]:
    """DCASE 2022 with fan and valve."""
    made = Zenodo(records=dcase_2022())
    with ThreadingHTTPServer(("127.0.0.1", 0), handler(made)) as server:
        made.site = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        monkeypatch.setenv("HUMTUNE_ZENODO", made.site)
        monkeypatch.setattr("humtune.sounds.download.transfer._PAUSE", 0.0)
        yield made
        server.shutdown()
        thread.join()
