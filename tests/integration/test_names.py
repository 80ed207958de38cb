"""One real search whose every name is a hard one: recordings, storage, machines, search and models."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from humtune.ledger import Ledger
from humtune.sounds.synthetic import Sizes, synthesise
from humtune.storage import Storage

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

SEARCH = "old [final] 'a' \"b\" 100% #1? $x$ `id`; {x} %s <b> cafe\u0301 ポンプ 🌀 * | & ~."
MACHINES = ("[0-9]* fan #1 %20 'q' {0} $HOME & co.", f"<b>ventil ü | `x` {'x' * 150}")
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


def humtune(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "humtune.cli.main", *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=500)


def suggested(out: str, verb: str) -> list[str]:
    [line] = [line for line in out.splitlines() if line.startswith(f"humtune {verb} ")]
    return shlex.split(line.partition("   ")[0])[1:]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with recordings and a space; one recording's name is no UTF-8."""
    here = tmp_path_factory.mktemp("names")
    sizes = Sizes(sections=2, train_source=10, train_target=2, test_per_cell=3, seconds=1.0)
    data = here / "data [1] %20 #?'"
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


def test_a_search_of_hard_names_from_the_recordings_to_the_models(here: Path) -> None:
    data, store = "data [1] %20 #?'", f"{here}/runs [x] %25 'é'"
    found = humtune("data", "check", data, cwd=here)
    assert found.returncode == 0, found.stdout + found.stderr
    place = ("--storage", store)
    began = humtune("search", "my space.yaml", "--data", data, "--name", SEARCH, *place, cwd=here)
    assert began.returncode == 0, began.stderr
    for machine in MACHINES:
        assert f"{machine}-00000 [1/1] Ω " in began.stdout, began.stdout
    assert suggested(began.stdout, "report") == ["report", SEARCH, "--storage", store]
    assert suggested(began.stdout, "export") == ["export", SEARCH, "--storage", store, "--out", "models"]
    ledger = Ledger.open(Storage(store), SEARCH)
    assert ledger.plan.machines == tuple(sorted(MACHINES))
    assert ODD in ledger.bank(MACHINES[0]).table.name
    assert sorted(path.name for path in (Path(store) / SEARCH / "trials").iterdir()) == sorted(
        f"{machine}-00000" for machine in MACHINES
    )

    again = humtune(*suggested(began.stdout, "report"), cwd=here)
    assert again.returncode == 0, again.stderr
    made = humtune(*suggested(began.stdout, "export"), "--no-register", "--int8", cwd=here)
    assert made.returncode == 0, made.stderr
    models = here / "models"
    assert {folder.name for folder in models.iterdir()} == set(MACHINES)
    first = sorted(MACHINES)[0]
    assert suggested(made.stdout, "score") == ["score", f"models/{first}", "some.wav"]
    card = (models / first / "README.md").read_text()
    line = next(line for line in card.splitlines() if line.startswith("humtune score "))
    words = shlex.split(line)[1:]
    assert words == ["score", first, "recordings/", "--out", "scores"]
    snippet = next(line for line in card.splitlines() if line.startswith("session = "))
    assert eval(snippet.partition("InferenceSession(")[2].removesuffix(")")) == f"{first}/model.onnx"

    train = here / data / "dev_data" / MACHINES[0] / "train"
    scored = humtune("score", f"models/{MACHINES[0]}", train, "--out", "out", cwd=here)
    assert scored.returncode in (0, 3), scored.stderr
    assert ODD.replace("\udce9", "\\udce9") in scored.stdout
    assert humtune("threshold", f"models/{MACHINES[0]}", cwd=here).returncode == 0
    sent = humtune("submit", SEARCH, *place, "--out", "sub [1]", cwd=here)
    assert sent.returncode == 0, sent.stderr
    judged = humtune(*suggested(sent.stdout, "evaluate"), cwd=here)
    assert judged.returncode == 0, judged.stderr
    assert {entry.name for entry in here.iterdir()} == {
        data, "my space.yaml", Path(store).name, "models", "out", "sub [1]"
    }  # fmt: skip
