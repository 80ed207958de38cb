"""Which recordings arrive.

A watch is on a clock of its own: each look at the folder is half a second after the one before.
"""

import gc
import random
import shutil
import subprocess
import sys
import time
import tracemalloc
from collections import Counter
from contextlib import suppress
from itertools import pairwise
from statistics import median

import pytest
from models import make_info
from waiting import wait_for

from humtune.errors import UsageError
from humtune.runtime.log import read_log
from humtune.runtime.outcomes import Failed, Look, Scored, Tally
from humtune.runtime.recordings import Listener
from humtune.runtime.results import DETAILS, ResultFiles, detail_name
from humtune.runtime.scale import Scale
from humtune.runtime.scorer import Scorer
from humtune.runtime.watch import PATIENCE, SETTLED, Marks, arrivals, mark

GOING_ON = """
import sys
from pathlib import Path
from humtune.runtime.recordings import Listener
from humtune.runtime.results import ResultFiles
from humtune.runtime.scorer import Scorer
from humtune.runtime.watch import Marks, arrivals, mark

folder, model, out = map(Path, sys.argv[1:])
scorer = Scorer.open(model)
with ResultFiles(out, scorer.info) as results:
    known = Marks(mark(*file) for file in results.seen())
    arriving = arrivals(folder, known, every=0.01, settled=0.01, patience=0.02)
    for outcome in Listener(scorer, workers=2).listen(arriving):
        results.write(outcome)
"""


class Over(BaseException):
    """The test's time is up."""


class Clock:
    """Lets things happen while a watch believes it sleeps."""

    def __init__(self, script, until):
        self.now, self.script, self.until = 0.0, sorted(script.items()), until

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        while self.script and self.script[0][0] <= self.now:
            self.script.pop(0)[1]()
        if self.now > self.until:
            raise Over


@pytest.fixture
def watched(tmp_path, monkeypatch):
    """Watch the folder "in" while a script {second: action} is played; what arrived, and when."""
    (tmp_path / "in").mkdir()

    def play(script, until=100.0, known=None):
        clock = Clock(script, until)
        monkeypatch.setattr("humtune.runtime.watch.time", clock)
        found = []
        with suppress(Over):
            for path in arrivals(tmp_path / "in", known):
                found.append((clock.now, path))
        return found

    return play


def test_what_is_no_folder_is_refused_at_once(tmp_path):
    with pytest.raises(UsageError, match="nowhere: no such folder"):
        arrivals(tmp_path / "nowhere")


def test_what_is_there_comes_first_then_what_arrives_and_what_is_written_anew(watched, record, tmp_path):
    folder = tmp_path / "in"
    wav, other = record("a.wav", 0.1), record("b.wav", 0.2, samples=9_000)
    shutil.copy(wav, folder / "old.wav")
    (folder / "notes.txt").write_text("quiet today")
    (folder / "folder.wav").mkdir()
    found = watched(
        {
            10: lambda: shutil.copy(wav, folder / "new.flac"),
            20: lambda: shutil.copy(other, folder / "old.wav"),
        }
    )
    assert found == [
        (SETTLED, folder / "old.wav"),
        (10 + SETTLED, folder / "new.flac"),
        (20 + SETTLED, folder / "old.wav"),
    ]


def test_a_file_in_the_making_is_waited_for_until_it_holds_what_its_header_promises(
    watched, record, tmp_path
):
    whole = record("whole.wav", 0.1).read_bytes()
    target = tmp_path / "in" / "slow.wav"
    sizes = {1: 0, 10: 30, 20: 2_000, 30: len(whole) - 2, 40: len(whole)}  # quiet for longer than SETTLED
    script = {at: lambda size=size: target.write_bytes(whole[:size]) for at, size in sizes.items()}
    assert watched(script) == [(40 + SETTLED, target)]


def test_a_file_that_grows_is_left_alone_though_its_header_promises_nothing(watched, record, tmp_path):
    """As programs write that don't know the end when they begin."""
    whole = bytearray(record("whole.wav", 0.1).read_bytes())
    whole[4:8] = whole[40:44] = b"\xff\xff\xff\xff"
    target = tmp_path / "in" / "streamed.wav"

    def grow(part):
        with target.open("ab") as stream:
            stream.write(whole[800 * part : 800 * (part + 1)])

    parts = -(-len(whole) // 800)
    found = watched({1 + part: lambda part=part: grow(part) for part in range(parts)})
    assert found == [(parts + SETTLED, target)]


@pytest.mark.parametrize("promised", [0, 2_000])
def test_a_file_that_holds_more_than_its_header_promises_is_waited_for(watched, record, tmp_path, promised):
    """As programs write that put the size there last; what stays so is scored in the end."""
    whole = record("whole.wav", 0.1).read_bytes()
    early = bytearray(whole)
    early[40:44] = promised.to_bytes(4, "little")
    target, left = tmp_path / "in" / "late.wav", tmp_path / "in" / "left.wav"
    script = {
        1: lambda: (target.write_bytes(early), left.write_bytes(early)),
        20: lambda: target.write_bytes(whole),
    }
    assert watched(script) == [(20 + SETTLED, target), (1 + PATIENCE, left)]


def test_what_never_becomes_whole_is_told_once_in_the_end(watched, record, tmp_path):
    torn = tmp_path / "in" / "torn.wav"
    content = record("whole.wav", 0.1).read_bytes()[:2_000]
    assert watched({5: lambda: torn.write_bytes(content)}) == [(5 + PATIENCE, torn)]


def test_a_file_that_is_taken_away_and_comes_back_comes_again(watched, record, tmp_path):
    target, wav = tmp_path / "in" / "a.wav", record("a.wav", 0.1)
    script = {1: lambda: shutil.copy(wav, target), 10: target.unlink, 20: lambda: shutil.copy(wav, target)}
    assert watched(script) == [(1 + SETTLED, target), (20 + SETTLED, target)]


def test_a_link_to_nowhere_is_passed_over(watched, tmp_path):
    (tmp_path / "in" / "link.wav").symlink_to(tmp_path / "nowhere")
    assert watched({}) == []


def test_a_folder_that_goes_away_is_told_once_and_waited_for(watched, record, tmp_path):
    folder, away = tmp_path / "in", tmp_path / "away"

    def back():
        shutil.copy(record("a.wav", 0.1), away / "a.wav")
        away.rename(folder)

    found = watched({5: lambda: folder.rename(away), 20: back})
    told = Failed(folder, "can't be listed (No such file or directory); waiting for it")
    assert found == [(5, told), (20 + SETTLED, folder / "a.wav")]


def test_folders_below_are_watched_and_what_is_no_place_of_recordings_is_passed_over(
    watched, record, tmp_path
):
    folder, wav = tmp_path / "in", record("a.wav", 0.1)
    for place in ("2026/11/30", ".trash"):
        (folder / place).mkdir(parents=True)
        shutil.copy(wav, folder / place / "a.wav")
    (folder / "2026" / "again").symlink_to(folder)

    def more():
        (folder / "2026" / "12").mkdir()
        shutil.copy(wav, folder / "2026" / "12" / "b.wav")

    day = folder / "2026" / "11" / "30" / "a.wav"
    assert watched({10: more}) == [(SETTLED, day), (10 + SETTLED, folder / "2026" / "12" / "b.wav")]


def test_what_is_kept_of_results_is_no_recording_though_it_lies_among_them(watched, record, tmp_path):
    wav, place = record("a.wav", 0.1), tmp_path / "in" / DETAILS
    place.mkdir()
    for name in (detail_name("/x/a.wav"), f"{detail_name('/x/a.wav')}.healthy", "a-20261130"):
        shutil.copy(wav, place / f"{name}.flac")
    assert [path.name for _, path in watched({})] == ["a-20261130.flac"]


@pytest.mark.integration
def test_a_folder_below_that_may_not_be_listed_is_told_once_and_waited_for(
    watched, record, tmp_path, as_nobody
):
    folder, wav = tmp_path / "in", record("a.wav", 0.1)
    locked = folder / "locked"
    locked.mkdir()
    for place in (folder, locked):
        shutil.copy(wav, place / "a.wav")
    locked.chmod(0)
    with as_nobody():
        found = watched({}, until=20.0)
    told = Failed(locked, "can't be listed (Permission denied); waiting for it")
    assert found == [(0, told), (SETTLED, folder / "a.wav")]


def test_what_is_known_as_it_is_does_not_come(watched, record, tmp_path):
    old, new = tmp_path / "in" / "old.wav", tmp_path / "in" / "new.wav"
    for path in (old, new):
        shutil.copy(record("a.wav", 0.1), path)
    looks = {path: (path.stat().st_size, path.stat().st_mtime) for path in (old, new)}
    size, changed = looks[new]
    marks = [
        mark(str(old), *looks[old]),
        mark(str(new), size + 1, changed),
        mark(str(new), size, changed + 1),
    ]
    known = Marks(marks)
    assert watched({}, known=known) == [(SETTLED, new)]
    assert watched({}, known=known) == []  # it is known now


def test_a_watch_goes_on_where_the_log_ends_also_with_what_was_refused(watched, record, model, tmp_path):
    folder = tmp_path / "in"
    shutil.copy(record("a.wav", 0.1), folder / "good.wav")
    (folder / "text.wav").write_text("not a sound")
    scorer = Scorer.open(model)

    def go_on(info=scorer.info):
        with ResultFiles(tmp_path / "scores", info) as results:
            known = Marks(mark(*file) for file in results.seen())
            arrived = [path for _, path in watched({}, known=known)]
            for outcome in Listener(scorer).listen(arrived):
                results.write(outcome)
        return [path.name for path in arrived]

    assert go_on() == ["good.wav", "text.wav"]
    assert go_on() == []
    shutil.copy(record("b.wav", 0.2), folder / "new.wav")
    (folder / "text.wav").write_text("not a sound either")
    assert go_on() == ["new.wav", "text.wav"]
    assert go_on(scorer.info.model_copy(update={"trial": "another"})) == ["good.wav", "new.wav", "text.wav"]


def test_next_to_nothing_is_remembered_however_many_recordings_there_were(tmp_path, monkeypatch):
    """Measured between batches that have come, with a scorer that reads nothing."""
    batch, batches, folder, held, tally = 500, 10, tmp_path / "in", [], Tally()
    folder.mkdir()
    monkeypatch.setattr("humtune.runtime.watch._is_whole", lambda _: True)

    def arrive(number):
        gc.collect()
        held.append(tracemalloc.get_traced_memory()[0])
        for name in range(batch):
            (folder / f"{number:0>100}-{name:0>100}.wav").touch()

    script = {10 * (n + 1): lambda n=n: arrive(n) for n in range(batches)}
    monkeypatch.setattr("humtune.runtime.watch.time", Clock(script, until=10 * batches + 5))
    tracemalloc.start()
    try:
        with ResultFiles(tmp_path / "scores", make_info()) as results, suppress(Over):
            for path in arrivals(folder, every=2.0):
                outcome = Scored(path, tally.scored % 7, Scale(9.0), seconds=1.0, look=Look.at(path))
                tally.add(outcome)
                results.write(outcome)
    finally:
        tracemalloc.stop()
    assert (tally.scored, len(held)) == (batch * batches, batches)
    steps = [after - before for before, after in pairwise(held)]  # one has Python's own table of names grow
    assert median(steps) / batch < 24  # bytes a recording


@pytest.mark.integration
def test_kills_at_any_moment_lose_and_repeat_no_result(record, model, tmp_path):
    count, rng, scores = 60, random.Random(0), tmp_path / "scores"
    for number in range(count):
        record(f"{number % 3}/{number:02d}.wav", 0.01 * (number + 1), samples=160_000)
    (tmp_path / "recordings" / "text.wav").write_text("not a sound")
    program = [sys.executable, "-c", GOING_ON, *map(str, (tmp_path / "recordings", model, scores))]

    def lines():
        return sum(log.read_bytes().count(b"\n") for log in scores.glob("log-*.jsonl"))

    for _ in range(5):
        before = lines()
        with subprocess.Popen(program) as run:
            wait_for(lambda before=before: lines() > before or lines() > count)
            time.sleep(rng.uniform(0, 0.01))
            run.kill()
    with subprocess.Popen(program) as run:
        wait_for(lambda: lines() > count)
        time.sleep(0.3)  # in which more would come
        run.kill()
    found = Counter(entry.file for entry in read_log(scores))
    assert set(found.values()) == {1}
    assert len(found) == count
    assert lines() == count + 1
