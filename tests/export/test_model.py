"""Evidence behind a threshold, and model folders that are written whole or not at all."""

import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from models import make_info, write_model

from humtune.errors import UsageError
from humtune.export.evidence import domain_scores
from humtune.export.model import check_replaceable, write_folder
from humtune.runtime.info import CARD, INFO, INT8, MODEL, Alarms, Evidence, Recalibration
from humtune.runtime.promises import GroupScores
from humtune.sounds.table import ANOMALY, NORMAL, SOURCE, TARGET, UNKNOWN, ClipTable, Role

KILLED = """
import os, signal, sys
from pathlib import Path
from humtune.export.model import write_folder

step, left = getattr(Path, sys.argv[2]), int(sys.argv[3])
def die(*words, **options):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(*words, **options)
setattr(Path, sys.argv[2], die)
write_folder(Path(sys.argv[1]), {"model.onnx": b"new", "model.json": b"[]"})
"""

FILES = {MODEL: b"graph", INFO: b"{}", CARD: b"# fan"}


def table(*rows) -> ClipTable:
    role, domain, label = zip(*rows, strict=True)
    n = len(rows)
    return ClipTable.from_columns(
        machine="fan",
        name=[f"{i}.wav" for i in range(n)],
        part=["dev"] * n,
        split=["test"] * n,
        section=[0] * n,
        domain=domain,
        label=label,
        attributes=[""] * n,
        role=[str(r) for r in role],
    )


def test_each_part_and_domain_has_its_own_shares():
    clips = table(
        (Role.HELD_OUT, SOURCE, NORMAL),
        *[(Role.SELECT, SOURCE, NORMAL)] * 4,
        *[(Role.SELECT, SOURCE, ANOMALY)] * 2,
        *[(Role.SELECT, TARGET, NORMAL)] * 2,
        (Role.SELECT, TARGET, ANOMALY),
        (Role.REPORT, SOURCE, NORMAL),
        (Role.REPORT, SOURCE, ANOMALY),
        (Role.REPORT, UNKNOWN, UNKNOWN),
    )
    scores = np.array([9.0, 0, 1, 2, 3, 1, 3, 3, 3, 0, 0, 5, 9])
    evidence = Evidence(held_out=(9.0,), clip_samples=160_000, tested=domain_scores(clips, scores))
    assert list(evidence.alarms(1.0)) == [
        Alarms("dev", "source", 4, 0.5, 2, 0.5),
        Alarms("dev", "target", 2, 1.0, 1, 0.0),
        Alarms("eval", "source", 1, 0.0, 1, 1.0),
    ]


def test_a_data_set_without_domains_has_one_line():
    clips = table((Role.SELECT, UNKNOWN, NORMAL), (Role.SELECT, UNKNOWN, ANOMALY))
    scores = domain_scores(clips, np.array([0.0, 1.0]))
    (alarms,) = Evidence(held_out=(9.0,), clip_samples=1, tested=scores).alarms(0.5)
    assert alarms == Alarms("dev", "any", 1, 0.0, 1, 1.0)
    assert alarms.to_metrics() == {"false_alarms_dev_any": 0.0, "caught_dev_any": 1.0}


def test_without_labels_there_is_nothing_to_count():
    clips = table((Role.REPORT, UNKNOWN, UNKNOWN), (Role.SELECT, SOURCE, NORMAL))
    assert domain_scores(clips, np.zeros(2)) == ()


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_recordings_are_never_replaced(tmp_path):
    recording = tmp_path / "fan" / "train" / "a.wav"
    recording.parent.mkdir(parents=True)
    recording.write_bytes(b"sound")
    for refused in (check_replaceable, lambda folder: write_folder(folder, FILES)):
        with pytest.raises(UsageError, match=r"fan: holds train, which is no part of a model"):
            refused(tmp_path / "fan")
    assert recording.read_bytes() == b"sound"
    assert [p.name for p in tmp_path.iterdir()] == ["fan"]


def test_a_file_in_the_place_of_a_folder_is_never_replaced(tmp_path):
    (tmp_path / "fan").write_text("a file")
    with pytest.raises(UsageError, match=r"fan: a file lies where the model's folder goes"):
        write_folder(tmp_path / "fan", FILES)
    assert (tmp_path / "fan").read_text() == "a file"


def test_a_place_that_can_not_be_written_is_named(tmp_path):
    (tmp_path / "models").write_text("a file")
    with pytest.raises(UsageError, match=r"models/fan: can't be written \(Not a directory\)"):
        write_folder(tmp_path / "models" / "fan", FILES)


def test_a_model_is_replaced_whole(tmp_path):
    write_folder(tmp_path / "models" / "fan", FILES)
    assert content(tmp_path / "models" / "fan") == FILES
    write_folder(tmp_path / "models" / "fan", {MODEL: b"other", INFO: b"[]"})
    assert content(tmp_path / "models" / "fan") == {MODEL: b"other", INFO: b"[]"}
    assert [p.name for p in (tmp_path / "models").iterdir()] == ["fan"]


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("part", ["", INT8])
def test_a_threshold_by_new_recordings_that_goes_is_named(tmp_path, caplog, part, keep):
    folder, healthy = tmp_path / "fan", GroupScores(domain="any", group="a", scores=(0.2,))
    info = make_info()
    write_model(folder, info)
    write_folder(folder, FILES)
    assert not caplog.messages
    known = Recalibration(
        recordings="/new ones", at=datetime.now(UTC), healthy=(healthy,), before=info.threshold
    )
    write_model(folder, info)
    write_model(folder / part, info.recalibrated(known, 0.02))
    write_folder(folder, FILES, keep=keep)
    [told] = caplog.messages
    place = folder / part
    assert told.startswith(f"{place}: its threshold by /new ones went with the model that was there")
    assert f"humtune threshold {place} --healthy '/new ones' --false-alarms 2%" in told


@pytest.mark.parametrize("step", ["open", "rename"])
def test_a_write_that_fails_leaves_the_model_before(tmp_path, monkeypatch, step):
    folder = tmp_path / "fan"
    write_folder(folder, FILES)
    true_step = getattr(Path, step)

    def fail(path, *arguments, **options):
        if "draft" in str(path):
            raise OSError(28, "No space left on device")
        return true_step(path, *arguments, **options)

    monkeypatch.setattr(Path, step, fail)
    with pytest.raises(UsageError, match=r"fan: can't be written \(No space left on device\)"):
        write_folder(folder, {MODEL: b"new"})
    monkeypatch.undo()
    assert content(folder) == FILES
    assert [p.name for p in tmp_path.iterdir()] == ["fan"]


@pytest.mark.parametrize(("step", "time"), [("open", 3), ("rename", 1)])
def test_a_kill_leaves_the_model_and_the_next_write_leaves_nothing_else(tmp_path, step, time):
    folder = tmp_path / "fan"
    write_folder(folder, FILES)
    killed = subprocess.run([sys.executable, "-c", KILLED, folder, step, str(time)], capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert content(folder) == FILES
    assert list(tmp_path.glob(".draft-*"))
    write_folder(folder, FILES)
    assert content(folder) == FILES
    assert [p.name for p in tmp_path.iterdir()] == ["fan"]
