"""One real search whose every name is a hard one: recordings, storage, machines, search and models."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from humtune.ledger import Ledger
from humtune.sounds.synthetic import Sizes, synthesise
from humtune.storage import Storage

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

SEARCH = "old [final] 'a' \"b\" 100% #1? $x$ `id`; {x} %s <b> cafe\u0301 ポンプ 🌀 * | & ~."
MACHINES = ("[0-9]* fan #1 %20 'q' {0} $HOME & co.", f"<b>ventil ü | `x` {'x' * 150}")
DATA, STORE = "data [1] %20 #?'", "runs [x] %25 'é'"
ODD = os.fsdecode(b"section_00_source_train_normal_0099_caf\xe9.wav")
SPACE = {
    "trials": 1,
    "fixed": {
        "spectrogram": {"n_fft": 256, "chunk_frames": 32, "n_mels": 32, "db": True},
        "backbone": {"width": 0.125},
        "training": {"epochs": 1, "batch_size": 16, "chunks_per_clip": 2},
    },
    "search": {"head.mu": [5, 10]},
}


def suggested(out: str, verb: str) -> list[str]:
    [line] = [line for line in out.splitlines() if line.startswith(f"humtune {verb} ")]
    return shlex.split(line.partition("   ")[0])[1:]


@pytest.fixture
def here(tmp_path: Path, mlflow_ready: Callable[[Path], Path]) -> Path:
    """A folder with recordings and a space; one recording's name is no UTF-8."""
    here = tmp_path / "names"
    mlflow_ready(here / STORE)
    sizes = Sizes(sections=2, train_source=10, train_target=2, test_per_cell=3, seconds=1.0)
    data = here / DATA
    synthesise(data, machines=("fan", "valve"), sizes=sizes)
    for old, new in zip(("fan", "valve"), MACHINES, strict=True):
        for place in data.glob(f"*/{old}"):
            place.rename(place.with_name(new))
        for table in data.glob(f"ground_truth_*/ground_truth_{old}_section_*.csv"):
            table.rename(table.with_name(table.name.replace(old, new)))
    train = data / "dev_data" / MACHINES[0] / "train"
    (train / ODD).write_bytes(next(train.glob("*_normal_0000*.wav")).read_bytes())
    (here / "my space.yaml").write_text(yaml.safe_dump(SPACE))
    return here


def test_a_search_of_hard_names_from_the_recordings_to_the_models(
    here: Path, ray_here: None, humtune: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(here)

    def done(*words: str) -> str:
        code, out, err = humtune(*words)
        assert code == 0, out + err
        return out

    store = str(here / STORE)
    place = ("--storage", store)
    done("data", "check", DATA)
    began = done("search", "my space.yaml", "--data", DATA, "--name", SEARCH, *place)
    for machine in MACHINES:
        assert f"{machine}-00000 [1/1] Ω " in began, began
    assert suggested(began, "report") == ["report", SEARCH, "--storage", store]
    assert suggested(began, "export") == ["export", SEARCH, "--storage", store, "--out", "models"]
    ledger = Ledger.open(Storage(store), SEARCH)
    assert list(ledger.plan.machines) == sorted(MACHINES)
    assert ODD in ledger.bank(MACHINES[0]).table.name
    assert sorted(path.name for path in (Path(store) / SEARCH / "trials").iterdir()) == sorted(
        f"{machine}-00000" for machine in MACHINES
    )

    done(*suggested(began, "report"))
    made = done(*suggested(began, "export"), "--no-register", "--int8")
    models = here / "models"
    assert {folder.name for folder in models.iterdir()} == set(MACHINES)
    first = sorted(MACHINES)[0]
    assert suggested(made, "score") == ["score", f"models/{first}", "some.wav"]
    card = (models / first / "README.md").read_text()
    line = next(line for line in card.splitlines() if line.startswith("humtune score "))
    words = shlex.split(line)[1:]
    assert words == ["score", first, "recordings/", "--out", "scores"]
    snippet = next(line for line in card.splitlines() if line.startswith("session = "))
    assert eval(snippet.partition("InferenceSession(")[2].removesuffix(")")) == f"{first}/model.onnx"

    train = str(here / DATA / "dev_data" / MACHINES[0] / "train")
    words = ["score", f"models/{MACHINES[0]}", train, "--out", "out"]
    command = [sys.executable, "-m", "humtune.cli.main", *words]
    scored = subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=500)
    assert scored.returncode in (0, 3), scored.stderr
    assert ODD.replace("\udce9", "\\udce9") in scored.stdout  # through a real pipe
    done("threshold", f"models/{MACHINES[0]}")
    sent = done("submit", SEARCH, *place, "--out", "sub [1]")
    done(*suggested(sent, "evaluate"))
    assert {entry.name for entry in here.iterdir()} == {
        DATA, STORE, "my space.yaml", "models", "out", "sub [1]"
    }  # fmt: skip
