"""From a folder to a model in one command, and on from wherever it was killed."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from loop import search_here
from models import make_info, write_model
from searches import Bench
from words import terms_in

from humtune import learn
from humtune.errors import UsageError
from humtune.ledger import Ledger
from humtune.records import Epoch
from humtune.runtime.labels import read_reviewed
from humtune.runtime.outcomes import Scored
from humtune.runtime.scale import Scale
from humtune.search.stop import Interruption
from humtune.sounds.added import Given, reviewed
from humtune.sounds.groups import recording_names
from humtune.sounds.table import Role
from humtune.storage import Storage

Run = Callable[..., tuple[int, str, str]]

SPACE = """
sampler: grid
fixed: {scores: [own, knn]}
search:
  family:
    presets:
      one: {family: gaussian_mixture, n_fft: 512, n_mels: 16, components: 1}
      loud: {family: gaussian_mixture, n_fft: 512, n_mels: 16, components: 1, pooling: gwrp}
      folders: {family: classifier, labels: attributes}
"""


def record(path: Path, seconds: float, *, seed: int, hiss: float = 0.0) -> None:
    """A hum that is never quite the same; a bad one hisses."""
    path.parent.mkdir(parents=True, exist_ok=True)
    chance = np.random.default_rng(seed)
    time = np.arange(round(seconds * 16_000)) / 16_000
    hum = sum(np.sin(2 * np.pi * f * time) * chance.uniform(0.8, 1.2) for f in (120, 240, 480))
    white = chance.standard_normal(len(time))
    soundfile.write(path, 0.05 * hum + 0.01 * white + hiss * np.diff(white, append=0.0), 16_000)


@pytest.fixture
def pump(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mlflow_ready: Callable[[Path], Path]) -> Path:
    """Twelve healthy recordings of 20 s and two bad ones beside them; searches run here, in a small space."""
    for i in range(12):
        record(tmp_path / "pump" / f"monday {i}.flac", 20.0, seed=i)
    for i in range(2):
        record(tmp_path / "bad" / f"rattle {i}.flac", 20.0, seed=100 + i, hiss=0.05)
    (tmp_path / "small.yaml").write_text(SPACE)
    monkeypatch.setattr(learn, "SPACE", str(tmp_path / "small.yaml"))
    search_here(monkeypatch)
    mlflow_ready(tmp_path / "humtune-runs")
    return tmp_path / "pump"


def ledger_of(folder: Path) -> Ledger:
    storage = Storage(folder / "humtune-runs")
    [name] = [path.parent.name for path in (folder / "humtune-runs").glob("*/plan.json")]
    return Ledger.open(storage, name)


@pytest.mark.slow
def test_healthy_recordings_alone_become_a_model_that_nothing_chose(
    pump: Path, tmp_path: Path, humtune: Run
) -> None:
    code, out, err = humtune("learn", pump, "--out", "models/pump")
    assert code == 0, err
    assert "pump: to learn from: 12 recordings, 4 min, in 24 windows" in out
    assert "left out: folders (no sub-folders to tell apart)\n" in out
    ensemble = json.loads((tmp_path / "models/pump/model.json").read_text())["configuration"]["members"]
    assert {m["trial"] for m in ensemble} == {"pump-00000", "pump-00001"}
    assert {m["score_type"] for m in ensemble} == {"own", "knn"}
    assert sum(m["weight"] for m in ensemble) == pytest.approx(1)
    info = json.loads((tmp_path / "models/pump/model.json").read_text())
    held_out = len(info["evidence"]["held_out"])
    assert held_out >= 4
    assert info["threshold"]["false_alarms"] == 0.01
    closing = " ".join(out.split())
    assert (
        "learned from 4 min of healthy sound, 12 recordings in 24 windows, by 2 detectors together" in closing
    )
    promised = re.search(
        r"limit of recordings of 20 s is set by (\d+) healthy stretch\w* as long, of (\d+) recording.*"
        r" less than ([\d.]+)%",
        closing,
    )
    assert promised, closing
    stretches, recordings = int(promised[1]), int(promised[2])
    left_out = info["evidence"]["left_out"]
    assert stretches == recordings == len(left_out)
    assert {len(group["scores"]) for group in left_out} == {3}  # windows of 10 s, half over each other
    assert info["evidence"]["clip_windows"] == 1
    assert float(promised[3]) == pytest.approx(100 / (stretches + 1), abs=0.05)
    assert re.search(r"1.0% needs \d+ more, \d+ min of new healthy sound", closing)
    assert "trained nothing" not in closing
    assert "caught" not in closing
    least = re.search(r"humtune score models/pump NEW --false-alarms (\d+)%", out)
    assert least
    assert float(promised[3]) <= int(least[1]) < float(promised[3]) + 1
    code, _, told = humtune("score", "models/pump", pump, "--false-alarms", f"{least[1]}%")
    assert code in (0, 3)
    assert f"({least[1]}.00% false alarms wanted, by" in told
    assert "humtune score models/pump NEW" in out
    assert terms_in(out + err) == set()


@pytest.mark.slow
def test_bad_ones_choose_and_are_counted(pump: Path, tmp_path: Path, humtune: Run) -> None:
    words = ("learn", pump, "--bad", "bad", "--out", "models/p", "--machine", "p", "--false-alarms", "5%")
    code, out, err = humtune(*words)
    assert code == 0, err
    assert ledger_of(tmp_path).plan.machines["p"].judged_by == "omega"
    closing = " ".join(out.split())
    assert "It would have caught 2 of 2 bad recordings, and called" in closing
    assert re.search(
        r"it did not learn from\. With --false-alarms \d+% it would have been 2 of 2 and \d", closing
    )
    (sentence,) = re.findall(r"It would have caught .* expect less of new ones\.", closing)
    card = (tmp_path / "models/p/README.md").read_text()
    assert sentence in card.partition("## What it is")[0]
    code, out, _ = humtune("score", "models/p", "bad", "--out", "scores")
    assert code == 3


def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.slow
def test_killed_the_same_command_goes_on(
    pump: Path, tmp_path: Path, humtune: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("learn", pump, "--out", "model", "--channel", "1")
    with monkeypatch.context() as killed:
        killed.setattr(learn, "write_model", interrupt)
        assert humtune(*words)[0] == 130
    assert not (tmp_path / "model").exists()
    before = [r.started for r in ledger_of(tmp_path).records()]
    code, out, err = humtune(*words)
    assert code == 0, err
    assert "pump: the same files as before" in out
    assert [r.started for r in ledger_of(tmp_path).records()] == before
    assert json.loads((tmp_path / "model/model.json").read_text())["channel"] == 1
    code, _, err = humtune(*words)
    assert code == 2
    assert (
        "model: a model lies there already; humtune score model NEW uses it; to learn anew, delete it" in err
    )


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """Five more healthy recordings."""
    for i in range(5):
        record(tmp_path / "new" / f"tuesday {i}.flac", 20.0, seed=50 + i)
    return tmp_path / "new"


@pytest.mark.slow
def test_a_model_is_continued_and_brought_back(
    pump: Path, new: Path, tmp_path: Path, humtune: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert humtune("learn", pump, "--out", "model", "--false-alarms", "20%")[0] == 0
    was = files(tmp_path / "model")
    with monkeypatch.context() as killed:
        killed.setattr(learn, "write_model", interrupt)
        assert humtune("learn", new, "--continue", "model")[0] == 130
    assert files(tmp_path / "model") == was
    made = set(Storage(tmp_path / "humtune-runs").list("banks"))
    code, out, err = humtune("learn", new, "--continue", "model")
    assert code == 0, err
    assert set(Storage(tmp_path / "humtune-runs").list("banks")) == made
    said = " ".join(out.split())
    assert "pump: 5 new recordings, 2 min, healthy, to learn from" in said
    assert "pump: of 2 detectors, 2 learned everything anew" in said
    assert "learned from 6 min of healthy sound in 34 windows, by 2 detectors together" in said
    assert re.search(r"The model before called \d of 5 new healthy recordings strange", said)
    assert re.search(r"The limit was [\d.]+ and is [\d.]+", said)
    info = json.loads((tmp_path / "model/model.json").read_text())
    assert info["threshold"]["false_alarms"] == 0.2
    groups = {group["group"] for group in info["evidence"]["left_out"]}
    assert groups & {f"recording=tuesday {i}.flac" for i in range(5)}
    assert files(tmp_path / "model" / "before") == was
    ledger = Ledger.open(Storage(tmp_path / "humtune-runs"), info["search"])
    assert ledger.plan.asked.continues == json.loads(was["model.json"])["search"]

    now = files(tmp_path / "model")
    code, out, _ = humtune("learn", new, "--continue", "model")
    assert (code, "pump: nothing new; model stays as it is" in out) == (0, True)
    assert files(tmp_path / "model") == now
    assert humtune("threshold", "model", "--healthy", "new")[0] == 0
    assert humtune("threshold", "model", "--undo")[0] == 0
    assert {**files(tmp_path / "model"), "model.json": b""} == {**now, "model.json": b""}
    assert humtune("threshold", "model", "--undo")[0] == 0
    assert files(tmp_path / "model") == was
    code, _, err = humtune("threshold", "model", "--undo")
    assert (code, "has the threshold that it was exported with" in err) == (2, True)


def test_the_model_before_judges_each_recording_by_the_limit_of_its_length(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outcomes = [Scored(Path(f"{s}.flac"), score=s, scale=Scale(3.0, 0.0), seconds=60.0) for s in (2.0, 4.0)]
    info = SimpleNamespace(threshold=SimpleNamespace(value=1.0))
    monkeypatch.setattr(learn, "read_info", lambda _: info)
    monkeypatch.setattr(learn, "Scorer", lambda *_: None)
    monkeypatch.setattr(learn, "Listener", lambda _: SimpleNamespace(listen=lambda _: iter(outcomes)))
    assert learn.called_strange(Path("model"), SimpleNamespace(added={})) == (1, 2)


def labels(path: Path, **said: tuple[Path, ...]) -> Path:
    lines = [f'"{file}",{label},' for label, paths in said.items() for file in paths]
    path.write_text("\n".join(["recording,label,time", *lines, ""]))
    return path


@pytest.mark.slow
def test_what_a_person_said_chooses_and_sets_the_limit(
    pump: Path, new: Path, tmp_path: Path, humtune: Run
) -> None:
    bad = (tmp_path / "bad/rattle 0.flac", pump / "monday 3.flac")
    table = labels(
        tmp_path / "said.csv",
        bad=(*bad, tmp_path / "gone.flac"),
        healthy=(new / "tuesday 1.flac", pump / "monday 4.flac"),
        unsure=(new / "tuesday 2.flac", pump / "monday 5.flac"),
    )
    code, out, err = humtune("learn", pump, "--reviewed", table, "--out", "model", "--false-alarms", "0.2")
    assert code == 0, err
    assert "said.csv: 2 recordings unsure, and left aside" in out
    assert f"there no more: {tmp_path / 'gone.flac'}; bring them back and run this again" in err
    assert "1 new recording, 20 s, called healthy, to learn from; they set no limit" in out
    assert "2 new recordings, 40 s, called bad, to choose detectors by" in out
    other = f"{pump / 'monday 5.flac'}, {pump / 'monday 3.flac'}"
    assert f"called otherwise than before, and no more what they were: {other}" in out
    info = json.loads((tmp_path / "model/model.json").read_text())
    ledger = Ledger.open(Storage(tmp_path / "humtune-runs"), info["search"])
    table_of = ledger.bank("pump").table
    roles = {
        (str(name), str(role))
        for name, role in zip(recording_names(table_of.attributes), table_of.role, strict=True)
    }
    assert {role for name, role in roles if "monday 3" in name} == {"select"}
    assert {role for name, role in roles if "tuesday 1" in name} == {"train"}
    assert not [name for name, _ in roles if "tuesday 2" in name or "monday 5" in name]
    groups = {group["group"] for group in info["evidence"]["left_out"]}
    assert "recording=monday 4.flac" in groups
    assert "recording=tuesday 1.flac" not in groups
    assert ledger.plan.machines["pump"].judged_by == "omega"
    assert re.search(r"It would have caught \d of 2 bad recordings", " ".join(out.split()))


def test_a_folder_is_a_sample_but_for_what_is_bad_or_unsure(pump: Path, new: Path, tmp_path: Path) -> None:
    storage = Storage(tmp_path / "humtune-runs")
    ledger, *_ = learn.begin(learn.take_in(pump, storage), storage)
    names = [new / f"tuesday {i}.flac" for i in range(5)]
    said = labels(
        tmp_path / "l.csv", bad=(names[0],), unsure=(names[1], pump / "monday 1.flac"), healthy=(names[2],)
    )
    grown = learn.add(ledger, new, read_reviewed(said))
    assert {given: grown.recordings(given) for given in Given} == {
        Given.UNSURE: 0,
        Given.NEW: 3,
        Given.HEALTHY: 0,
        Given.BAD: 1,
    }
    known = " ".join(grown.bank.table.attributes.tolist())
    assert "tuesday 2" in known
    assert "tuesday 1" not in known
    assert "monday 1.flac" not in known
    assert not reviewed(grown.bank.table).any()


def test_what_was_learned_from_and_is_unsure_now_is_not_in_a_new_search(pump: Path, tmp_path: Path) -> None:
    storage = Storage(tmp_path / "humtune-runs")
    imported = learn.take_in(pump, storage)
    said = labels(tmp_path / "l.csv", healthy=(pump / "monday 2.flac",), unsure=(pump / "monday 1.flac",))
    ledger, grown = learn.begin(imported, storage, reviewed=read_reviewed(said))
    assert grown
    assert grown.known == (str(pump / "monday 2.flac"),)
    assert not any("monday 1.flac" in text for text in ledger.bank("pump").table.attributes.tolist())


def test_nothing_is_left_to_learn_from(pump: Path, tmp_path: Path) -> None:
    for i in range(30):
        record(pump / f"friday {i}.flac", 20.0, seed=500 + i)
    storage = Storage(tmp_path / "humtune-runs")
    ledger, *_ = learn.begin(learn.take_in(pump, storage), storage)
    table = ledger.bank("pump").table
    trained = recording_names(table.attributes[table.having(Role.TRAIN)]).tolist()
    paths = tuple(pump / name.removeprefix("recording=") for name in dict.fromkeys(trained))
    one, *others = paths
    said = read_reviewed(labels(tmp_path / "l.csv", bad=(one,), unsure=tuple(others)))
    with pytest.raises(UsageError, match="pump: nothing is left to learn from, without what is called bad"):
        learn.add(ledger, None, said)


def test_a_search_goes_on_with_what_a_person_said(pump: Path, tmp_path: Path, humtune: Run) -> None:
    imported = learn.take_in(pump, Storage(tmp_path / "humtune-runs"))
    ledger, *_ = learn.begin(imported, Storage(tmp_path / "humtune-runs"))
    learn.search(ledger)
    table = labels(tmp_path / "labels.csv", bad=(tmp_path / "bad/rattle 0.flac",))
    code, out, err = humtune("resume", ledger.name, "--reviewed", table)
    assert code == 0, err
    [name] = re.findall(rf"search (\S+): that is {ledger.name} with these recordings", out)
    more = Ledger.open(ledger.storage, name)
    assert more.plan.machines["pump"].judged_by == "omega"
    assert {r.id for r in more.records()} == {r.id for r in ledger.records()}
    again, out, _ = humtune("resume", name, "--reviewed", table)
    assert (again, "pump: 1 recording taken in before" in out) == (0, True)
    assert "with these recordings" not in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--out", "m"], "name the recordings and the model: humtune learn FOLDER --out MODEL"),
        (["pump"], "name the recordings and the model: humtune learn FOLDER --out MODEL"),
        (["--continue", "m"], "name the folder of new healthy recordings"),
        (["pump", "--continue", "m", "--bad", "bad"], "--bad: a model that is continued has its own"),
        (["pump", "--continue", "m"], "m: no such folder"),
        (["pump", "--out", "m", "--reviewed", "none.csv"], "none.csv: no table of labels; `humtune review"),
        (
            ["pump", "--out", "m", "--reviewed", "bad"],
            "bad: no table of labels; did you mean bad/labels.csv?",
        ),
        (["pump", "--out", "m", "--reviewed", "unsure.csv"], "no recording in it is called healthy or bad"),
        (["pump", "--out", "m", "--reviewed", "gone.csv"], "no recording in it is there any more"),
    ],
)
def test_words_that_do_not_go_together(words: list[str], told: str, pump: Path, humtune: Run) -> None:
    labels(pump.parent / "unsure.csv", unsure=(pump / "monday 0.flac",))
    labels(pump.parent / "gone.csv", bad=(pump / "there never was.flac",))
    code, _, err = humtune("learn", *words)
    assert code == 2
    assert told in err


def test_a_model_whose_search_is_gone(pump: Path, humtune: Run) -> None:
    write_model(pump.parent / "model", make_info(machine="pump", search="pump-000000"))
    code, _, err = humtune("learn", pump, "--continue", "model")
    assert code == 2
    assert "model: its search pump-000000 is not in" in err
    assert "humtune threshold model --healthy FOLDER sets the limit by new recordings" in err


def test_hours_are_a_clocks_though_two_trials_run_at_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = bench.search(machines=("fan",))
    for number in range(2):  # from the same second on, ten minutes each
        step = Epoch(epoch=1, ended=1.7e9 + 600, seconds=600, metrics={})
        trial = bench.trial(ledger, "fan", number, seconds=600)
        ledger.write(trial.model_copy(update={"epochs": (step,)}))
    left: list[float] = []

    def ran(_: Ledger, *, interruption: Interruption, view: object) -> None:
        left.append(interruption.clock.left)

    monkeypatch.setattr(learn, "run", ran)
    learn.search(ledger, hours=0.25)
    assert left == [pytest.approx(5 * 60, abs=5)]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere", "--out", "m"], "nowhere: no such folder"),
        (
            ["bad", "--out", "m"],
            "bad: 40 s of healthy sound to learn from, in 4 windows; 10 windows of about 10 s are the least: "
            "record 60 s more; twenty minutes are a start",
        ),
        (["pump", "--out", "small.yaml"], "a file lies where the model's folder goes"),
        (["pump", "--out", "pump"], "which is no part of a model"),
        (["pump", "--out", "m", "--hours", "0"], "--hours 0: it should be more than 0"),
        (["pump", "--out", "m", "--false-alarms", "5"], "--false-alarms 5: it should"),
        (
            ["pump", "--out", "m", "--storage", "mock://bucket/x"],
            "learn keeps recordings there, and needs a folder",
        ),
    ],
)
def test_wrong_words(words: list[str], told: str, pump: Path, humtune: Run) -> None:
    code, _, err = humtune("learn", *words)
    assert code == 2
    assert told in err
