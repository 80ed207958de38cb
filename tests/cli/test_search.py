"""humtune search, resume, stop: wrong use is one line and exit code 2, and nothing has started."""

import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from encoders import onnx_encoder
from waiting import PATIENCE

from humtune import __version__
from humtune.detectors.classifier.recipe import Classifier
from humtune.errors import HumtuneError, UsageError
from humtune.ledger import Ledger
from humtune.plan import Asked, Machine, Plan
from humtune.records import TrialRecord, TrialState, trial_id
from humtune.search.clock import Clock
from humtune.search.live import duration
from humtune.search.space import check_space
from humtune.search.stop import Interruption
from humtune.search.studies import Studies
from humtune.sounds.importing import Imported, ImportRecord
from humtune.sounds.synthetic import Sizes, synthesise
from humtune.sounds.table import ClipTable
from humtune.storage import Storage

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second and a half of two machines."""
    folder = tmp_path_factory.mktemp("recordings") / "data"
    sizes = Sizes(sections=2, train_source=3, train_target=1, test_per_cell=1, seconds=1.5)
    synthesise(folder, machines=["fan", "valve"], sizes=sizes)
    return folder


def make_search(folder: Path, name: str, *, ended: int = 0, trials: int = 3) -> Ledger:
    """A search of one machine some of whose trials are complete."""
    ledger = Ledger(Storage(folder), name)
    space = {"search": {"head.mu": {"values": [5, 10]}}}
    plan = Plan(
        name=name,
        created=1e9,
        version=__version__,
        asked=Asked(space=space, data="recordings", trials=trials),
        machines={"fan": Machine(bank="banks/a", data_hash="a")},
    )
    ledger.create(plan, {})
    for number in range(ended):
        ledger.write(
            TrialRecord(
                id=trial_id("fan", number),
                machine="fan",
                number=number,
                origin="sampler",
                params={"head.mu": 5},
                config=Classifier(),
                state=TrialState.COMPLETE,
                omega={"nll": 0.6},
                started=1e9,
                ended=1e9,
            )
        )
    return ledger


def test_wrong_use_is_one_line_that_names_what_is_wrong(
    humtune: Run, recordings: Path, tmp_path: Path
) -> None:
    """One test for all of them: the slow imports are shared."""
    make_search(tmp_path / "humtune-runs", "taken")
    (tmp_path / "a-file").write_text("")
    (tmp_path / "bad[er].yaml").write_text("search: {head.muu: [5]}\n")
    (tmp_path / "long.yaml").write_text("fixed: {spectrogram: {chunk_frames: 500}}\nsearch: {head.mu: [5]}\n")
    (tmp_path / "list.yaml").write_text(
        "sampler: listed\n"
        "fixed: {spectrogram: {n_fft: 512, chunk_frames: 32, n_mels: 32}}\n"
        "search: {head.mu: [5]}\n"
        "first: [{machine: fan, head.mu: 5}]\n"
    )
    data = f"--data {recordings}"
    wrong = {
        f"search quik {data}": "no search space named 'quik'; there are: auto, heads, operator, paper,",
        f"search quik.yaml {data}": "no search space at quik.yaml",
        f"search bad[er].yaml {data}": "bad[er].yaml: search.head.muu can be 5: head.muu = 5: no such",
        f"search quick {data} --channel 0": "--channel 0: it should be mix, or a channel's number",
        f"search quick {data} --channel 2": "has 1 channel, no channel 2; choose another --channel, or mix; ",
        f"search quick {data} --labels sections": "command line: fixed: labels = 'sections': should be",
        f"search quick {data} --set head.muu=5": "head.muu = 5: no such setting; did you mean head.mu?",
        f"search quick {data} --set head.mu": "--set head.mu: write KEY=VALUE, such as training.epochs=5",
        f"search list.yaml {data}": "valve: the space lists no point for it; add one to `first` with",
        f"search list.yaml {data} --machines valve --dry-run": "valve: the space lists no point for it",
        f"search long.yaml {data} --set spectrogram.chunk_frames=499": "spectrogram.chunk_frames = 499 is",
        "search quick --data nowhere": "nowhere: no such folder; expected recordings as",
        f"search quick {data} --machines fan,drill": "no machine 'drill' in",
        f"search quick {data} --hours 0": "--hours 0: it should be more than 0",
        f"search quick {data} --name taken": "there is a search named 'taken': humtune resume taken",
        f"search quick {data} --name a/b": "a search's name 'a/b' holds a slash; choose another --name",
        f"search quick {data} --name banks": "name 'banks' is taken by humtune itself",
        f"search quick {data} --name .a": "a search's name '.a' begins with a dot",
        f"search quick {data} --device gpu": "device 'gpu': it should be cpu or cuda",
        f"search quick {data} --precision fp16": "precision 'fp16': it should be one of auto, fp32, bf16",
        f"search quick {data} --storage ftp://x/y": "storage 'ftp://x/y'",
        f"search quick {data} --storage a-file": "a-file is a file; it wants a folder",
        f"search long.yaml {data}": "fan: spectrogram.chunk_frames = 500 is longer than the shortest clip",
        f"search long.yaml {data} --dry-run": "choose chunk_frames ≤ 188",
        "resume taken-2": "no search named 'taken-2'",
        "stop nothing": "there are: taken",
    }
    if not torch.cuda.is_available():
        wrong[f"search quick {data} --device cuda"] = "PyTorch finds no GPU on this computer; leave it out"
    for words, said in wrong.items():
        code, _, err = humtune(*words.split())
        assert code == 2, (words, err)
        assert said in err
        assert err.startswith("humtune: ")
        assert len(err.splitlines()) == 1
    assert Storage(tmp_path / "humtune-runs").list() in (["banks", "taken"], ["taken"])
    assert [p.name for p in (tmp_path / "humtune-runs" / "taken").iterdir()] == ["plan.json"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["search"], "Missing argument 'SPACE'"),
        (["search", "quick"], "Missing option '--data'"),
        (["search", "quick", "--data", ".", "--trials", "-1"], "Invalid value for '--trials'"),
        (["search", "quick", "--data", ".", "--trails", "3"], "No such option: --trails"),
        (["serach"], "No such command 'serach'"),
        (["resume"], "Missing argument 'NAME'"),
    ],
)
def test_words_that_are_no_command_are_told(humtune: Run, words: list[str], said: str) -> None:
    code, _, err = humtune(*words)
    assert code == 2
    assert said in err
    assert "Traceback" not in err


def test_a_failure_that_is_not_the_users_exits_with_1(humtune: Run, tmp_path: Path) -> None:
    ledger = make_search(tmp_path / "humtune-runs", "hums", ended=1)
    ledger.storage.write("hums/plan.json", b"{")
    code, _, err = humtune("resume", "hums")
    assert code == 1
    assert "hums/plan.json can't be read: " in err
    assert len(err.splitlines()) == 1


def test_a_search_that_is_done_starts_nothing(
    humtune: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mlflow_ready: Callable[[Path], Path]
) -> None:
    started: list[str | None] = []
    monkeypatch.setattr("humtune.search.run.connect", started.append)
    mlflow_ready(tmp_path / "humtune-runs")
    ledger = make_search(tmp_path / "humtune-runs", "hums", ended=3)
    before = list(ledger.records())
    code, out, _ = humtune("resume", "hums")
    assert code == 0
    assert out.splitlines() == [
        "humtune report hums   the table and plots",
        "humtune export hums --out models   one model per machine",
    ]
    assert humtune("resume", "hums", "--trials", "2")[1] == out  # fewer are done as well
    assert ledger.plan.asked.trials == 2
    assert list(ledger.records()) == before
    assert started == []


def test_a_search_that_is_asked_to_end_before_its_first_trial_can_be_resumed(
    humtune: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = make_search(tmp_path / "humtune-runs", "hums", ended=0)

    def interrupted(ledger: Ledger, *, interruption: Interruption, **_: object) -> Studies:
        interruption.signal = signal.SIGINT
        return Studies(ledger, check_space(ledger.plan.asked.space, where="here"))

    def failed(ledger: Ledger, **_: object) -> Studies:
        raise HumtuneError("no room")

    monkeypatch.setattr("humtune.search.run.prepare", lambda *_, **__: ledger)
    monkeypatch.setattr("humtune.search.run.run", interrupted)
    code, out, _ = humtune("search", "quick", "--data", ".")
    assert code == 130
    assert "left: humtune resume hums\n" in out
    assert Ledger.open(ledger.storage, "hums").plan == ledger.plan
    monkeypatch.setattr("humtune.search.run.run", failed)
    assert humtune("search", "quick", "--data", ".")[0] == 1
    with pytest.raises(UsageError, match="no search named 'hums'"):
        Ledger.open(ledger.storage, "hums")


def test_a_search_of_which_no_trial_completed_has_failed(
    humtune: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("humtune.search.run.Mirror", nullcontext)
    ledger = make_search(tmp_path / "humtune-runs", "hums", ended=3)
    texts = {name: [""] for name in ("name", "part", "split", "attributes", "role")}
    clips = ClipTable.from_columns(machine="fan", section=[0], domain=[0], label=[0], **texts)
    ledger.storage.write("hums/clips/fan.json", clips.to_json())
    for record in list(ledger.records()):
        reason = "torn" if record.number else "no memory"
        failed = {"state": TrialState.FAILED, "reason": reason, "omega": {}, "pseudo": {}}
        ledger.write(record.model_copy(update=failed))
    for words in (["resume"], ["report"], ["export"], ["ensemble"], ["submit"]):
        code, out, err = humtune(*words, "hums")
        assert (code, out) == (1, "")
        assert err.splitlines()[-1].endswith("no trial completed: 3 failed, 'torn' (2 of them)")
    imported = ImportRecord(folder="", files_print="", pieces=())
    monkeypatch.setattr("humtune.learn.take_in", lambda *_, **__: Imported("fan", tmp_path, imported, True))
    monkeypatch.setattr("humtune.learn.begin", lambda *_, **__: (ledger, None))
    monkeypatch.setattr("humtune.learn.search", lambda *_, **__: Interruption(Clock(0)))
    code, _, err = humtune("learn", "fan", "--out", "model")
    assert code == 1
    assert err.splitlines()[-1].endswith("no trial completed: 3 failed, 'torn' (2 of them)")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("left", [0.0, 30.0])  # seconds, in which no other one can end
def test_learn_says_that_its_time_was_too_short_for_all_detectors(
    humtune: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: float
) -> None:
    ledger = make_search(tmp_path / "humtune-runs", "hums", ended=1)
    imported = ImportRecord(folder="", files_print="", pieces=())
    monkeypatch.setattr("humtune.learn.take_in", lambda *_, **__: Imported("fan", tmp_path, imported, True))
    monkeypatch.setattr("humtune.learn.begin", lambda *_, **__: (ledger, None))
    monkeypatch.setattr("humtune.learn.search", lambda *_, **__: Interruption(Clock(left)))
    monkeypatch.setattr("humtune.cli.learn._write", lambda *_: None)
    monkeypatch.setattr("humtune.cli.learn._print_next", lambda *_: None)
    code, out, _ = humtune("learn", "fan", "--out", "model")
    assert (code, "the time is over: 1 of 3 detectors; more --hours train more\n" in out) == (0, True)


def test_more_trials_than_a_space_holds_are_not_to_be_had(
    humtune: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("humtune.search.run.Mirror", nullcontext)
    ledger = make_search(tmp_path / "humtune-runs", "hums", ended=2)
    ledger.write_plan(ledger.plan.model_copy(update={"holds": {"fan": 2}}))
    code, out, _ = humtune("resume", "hums", "--trials", "5")
    assert (code, out.splitlines()[0]) == (0, "fan: the space holds 2 trials, not 5")


def test_what_a_kill_kept_from_mlflow_comes_with_the_next_resume(
    humtune: Run, tmp_path: Path, mlflow_ready: Callable[[Path], Path]
) -> None:
    from mlflow import MlflowClient

    mlflow_ready(tmp_path / "humtune-runs")
    make_search(tmp_path / "humtune-runs", "hums", ended=3)
    assert humtune("resume", "hums")[0] == 0
    client = MlflowClient(f"sqlite:///{tmp_path}/humtune-runs/mlflow.db")
    experiment = client.get_experiment_by_name("hums")
    assert experiment
    runs = client.search_runs([experiment.experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED"] * 4  # the machine's own and its trials'


def test_a_ray_that_is_not_there_is_one_line(
    humtune: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    def refuse(**words: object) -> None:
        raise ConnectionError(f"no cluster\nat {words['address']}")

    monkeypatch.setattr(ray, "init", refuse)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)  # other tests may have one
    make_search(tmp_path / "humtune-runs", "hums")
    wrong = humtune("resume", "hums", "--address", "127.0.0.1:1")
    assert wrong == (1, "", "humtune: Ray at 127.0.0.1:1 can't be reached: Connection refused\n")
    unfound = humtune("resume", "hums", "--address", "auto")[2]
    assert unfound == "humtune: Ray at auto can't be reached: no cluster at auto\n"
    assert "Ray did not start on this computer: no cluster at local" in humtune("resume", "hums")[2]


def test_a_grid_that_is_done_wants_no_more_than_it_holds(
    humtune: Run, tmp_path: Path, mlflow_ready: Callable[[Path], Path]
) -> None:
    mlflow_ready(tmp_path / "humtune-runs")
    ledger = make_search(tmp_path / "humtune-runs", "hums", ended=2)
    grid = {"search": {"head.mu": [5, 10]}, "sampler": "grid"}
    records = [
        r.model_copy(update={"params": {"head.mu": mu}, "config": Classifier().model_dump(mode="json")})
        for r, mu in zip(ledger.records(), (5, 10), strict=True)
    ]
    for record in records:
        ledger.write(record)
    ledger.write_plan(ledger.plan.asking(space=grid).model_copy(update={"holds": {"fan": 2}}))
    code, out, err = humtune("resume", "hums", "--trials", "50")
    assert (code, err) == (0, "")
    assert "are left" not in out
    assert list(ledger.records()) == records


def test_stop_leaves_its_mark_where_the_search_looks(
    humtune: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from humtune.search.stop import Interruption, LeaveTune, Stop

    ledger = make_search(tmp_path / "elsewhere", "hums")
    interruption = Interruption()
    stop = Stop(ledger, interruption)
    monkeypatch.setattr(stop, "SECONDS", 0.0)
    assert not stop.stop_all()
    code, out, _ = humtune("stop", "hums", "--storage", tmp_path / "elsewhere")
    again = f"humtune resume hums --storage {tmp_path / 'elsewhere'}"
    assert (code, out) == (0, f"hums ends within seconds; {again} goes on with it\n")
    assert stop.stop_all()
    assert not stop("any trial", {})
    interruption.signal = 2
    with pytest.raises(LeaveTune):
        stop.stop_all()


def test_a_dry_run_tells_the_cost_and_keeps_no_plan(humtune: Run, recordings: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(
        "trials: 30\n"
        "fixed: {backbone.width: 0.125, training: {epochs: 2, batch_size: 4, chunks_per_clip: 1}}\n"
        "search:\n"
        "  head.mu: [5, 10]\n"
        "  spectrogram:\n"
        "    presets:\n"
        "      low: {n_fft: 512, chunk_frames: 16, n_mels: 16}\n"
        "      high: {n_fft: 256, chunk_frames: 32, n_mels: 32}\n"
    )
    words = ("search", "tiny.yaml", "--data", recordings, "--machines", " valve, fan ", "--slots", "2")
    code, out, _ = humtune(*words, "--dry-run")
    assert code == 0
    rows = [" ".join(line.split()) for line in out.splitlines()]
    for machine in ("fan", "valve"):
        assert sum(f"│ {machine} │ spectrogram: {s} │" in row for s in ("low", "high") for row in rows) == 2
        [mean] = [row for row in rows if f"│ {machine} │ mean │" in row]
        assert mean.split(" │ ")[4] == "30"
        assert all("│ fp32 │" in row for row in rows if f"│ {machine} │ spectrogram" in row)
    assert " of work; 2 trials at a time: " in rows[-1]
    assert Storage(tmp_path / "humtune-runs").list() == ["banks"]


def test_a_dry_run_counts_once_what_trials_share(
    humtune: Run, recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from humtune.config import Acceleration
    from humtune.detectors.pretrained.recipe import Pretrained
    from humtune.detectors.recipe import Estimate

    def estimate(self: Pretrained, *_: Any, **__: Any) -> Estimate:
        once = {Path(self.weights).parent.name: 100.0}
        return Estimate(acceleration=Acceleration(), step_seconds=1.0, trial_seconds=2.0, once=once)

    monkeypatch.setattr(Pretrained, "estimate", estimate)
    one, two = (onnx_encoder(tmp_path / name) for name in ("one", "two"))
    (tmp_path / "tiny.yaml").write_text(
        "trials: 40\n"
        "fixed: {family: pretrained}\n"
        f"search: {{weights: [{one}, {two}], pooling: [mean, max], layers: [0, 1]}}\n"
    )
    words = ("search", "tiny.yaml", "--data", recordings, "--machines", "fan", "--slots", "1", "--dry-run")
    _, out, _ = humtune(*words)
    assert out.splitlines()[-1].startswith(f"in all {duration(2 * 100 + 40 * 2)} of work")


def test_a_dry_run_tells_how_trials_would_be_computed(
    humtune: Run, recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from humtune.detectors.classifier import timing
    from humtune.detectors.classifier.timing import Timing

    monkeypatch.setattr(timing, "measure", lambda *_, **__: Timing(2.0, 1.0, compiling=9.0))
    (tmp_path / "tiny.yaml").write_text(
        "fixed:\n"
        "  backbone.width: 0.125\n"
        "  spectrogram: {n_fft: 512, chunk_frames: 16, n_mels: 16}\n"
        "  training: {epochs: 1, batch_size: 4, chunks_per_clip: 1}\n"
        "search: {head.mu: [5, 10]}\n"
    )
    words = ("search", "tiny.yaml", "--data", recordings, "--machines", "fan", "--dry-run")
    _, out, _ = humtune(*words, "--precision", "bf16", "--compile")
    assert "│ bf16, compiled │" in " ".join(out.split())
    monkeypatch.setattr(timing, "COMPILING", 0.0)
    monkeypatch.setattr(timing, "WORTH", 0.0)
    _, out, _ = humtune(*words)
    assert "compiled" not in out  # it saves less than it takes
    monkeypatch.setattr(timing, "measure", lambda *_, **__: Timing(2.0, 1.0, compiling=0.0))
    _, out, _ = humtune(*words)
    assert "│ fp32, compiled │" in " ".join(out.split())


def test_the_storage_may_come_from_the_environment(
    humtune: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mlflow_ready: Callable[[Path], Path]
) -> None:
    mlflow_ready(tmp_path / "far")
    make_search(tmp_path / "far", "hums", ended=3)
    assert humtune("resume", "hums")[0] == 2
    monkeypatch.setenv("HUMTUNE_STORAGE", str(tmp_path / "far"))
    assert humtune("resume", "hums")[0] == 0


LIGHT = """
import sys
from humtune.cli.main import main
for words in (["--help"], ["search", "--help"], ["version"], ["search", "quik", "--data", "."]):
    sys.argv = ["humtune", *words]
    try:
        main()
    except SystemExit as end:
        print("exit", end.code)
    heavy = {"torch", "ray", "mlflow", "scipy", "sklearn", "matplotlib", "onnx", "onnxruntime"}
    if words[-1] != ".":
        heavy |= {"optuna", "numpy", "pyarrow", "yaml", "humtune.ledger"}
    print("heavy", sorted(heavy & set(sys.modules)))
"""


@pytest.mark.integration
def test_help_and_a_misspelt_space_need_no_heavy_import(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIGHT], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE
    )
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith("heavy")] == ["heavy []"] * 4, done.stderr
    assert [line for line in lines if line.startswith("exit")] == ["exit 0"] * 3 + ["exit 2"]
    for word in ("search", "resume", "stop", "data", "Example: humtune search quick --data"):
        assert word in done.stdout
    assert list(tmp_path.iterdir()) == []
