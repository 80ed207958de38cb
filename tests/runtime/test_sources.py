"""Which recordings are found, and which arrive.

A watch is on a clock of its own: each look at the folder is half a second after the one before.
"""

import os
import shutil
from contextlib import suppress
from itertools import islice
from pathlib import Path

import pytest

from humtune.errors import UsageError
from humtune.runtime.outcomes import Failed
from humtune.runtime.sources import PATIENCE, SETTLED, SORTED, counted, find_recordings, watch


def found(*words, listed=()):
    return list(find_recordings(map(str, words), listed))


def test_a_folder_gives_what_a_name_would(tmp_path):
    kinds = ("a.FLAC", "b.m4a", "c.mp4", "d.ogg", "e.wav", "f.opus", "g.3gp")
    for name in (*kinds, ".h.m4a", "i.txt", "j.csv"):
        (tmp_path / name).touch()
    assert [path.name for path in found(tmp_path)] == list(kinds)
    assert {path.name for path in found(tmp_path / "*")} == set(kinds)


def test_a_folder_without_recordings_names_its_folders(tmp_path):
    (tmp_path / "fan" / "test").mkdir(parents=True)
    (tmp_path / "fan" / "notes.txt").write_text("quiet today")
    assert found(tmp_path / "fan", tmp_path / "fan" / "test") == [
        Failed(tmp_path / "fan", "no sound files in it; did you mean one of its folders (test)?"),
        Failed(tmp_path / "fan" / "test", "no sound files in it"),
    ]


def test_a_pattern_that_fits_nothing_is_told(record, tmp_path):
    record("a.wav", 0.1)
    pattern = tmp_path / "recordings" / "*.flac"
    assert found(pattern) == [Failed(pattern, "no sound file fits this pattern")]


@pytest.mark.integration
def test_a_folder_that_may_not_be_read_is_told_and_the_rest_is_found(record, tmp_path, as_nobody):
    locked, open_one = record("locked/a.wav", 0.1).parent, record("b.wav", 0.1)
    locked.chmod(0)
    with as_nobody():
        assert found(locked, open_one) == [Failed(locked, "can't be listed (Permission denied)"), open_one]
        assert found(locked / "a.wav") == [locked / "a.wav"]  # told when it is scored


def test_folders_become_their_recordings_each_once_and_in_order(record, tmp_path):
    loud, flac, wav = record("loud.wav", 0.5), record("a/b.flac", 0.1), record("a/c.WAV", 0.1)
    (tmp_path / "recordings" / "a" / "notes.txt").write_text("quiet today")
    (tmp_path / "recordings" / "a" / "._c.wav").write_text("")
    (tmp_path / "recordings" / "a" / "folder.wav").mkdir()
    missing = tmp_path / "missing.wav"
    assert found(missing, loud, wav.parent, loud, wav, wav.parent) == [missing, loud, flac, wav]


def test_patterns_reach_down_and_a_name_with_brackets_is_no_pattern(record, tmp_path):
    odd, low, high = record("odd[1].wav", 0.1), record("x/y/low.wav", 0.1), record("x/high.flac", 0.1)
    (tmp_path / "recordings" / "x" / "notes.txt").write_text("quiet today")
    assert found(odd) == [odd]
    assert sorted(found(tmp_path / "recordings" / "x" / "**")) == sorted([high, low])
    assert found(tmp_path / "recordings" / "x" / "y" / "l?w.*") == [low]


def test_a_list_has_a_name_a_line_or_zero_bytes_between_them(record, tmp_path):
    a, b = record("a b.wav", 0.1), record("c/b.wav", 0.1)
    odd = Path(os.fsdecode(b"/nowhere/\xff.wav"))
    lines = [bytes(a) + b"\r\n", b"\n", bytes(b.parent) + b"\n", bytes(odd) + b"\n", bytes(a)]
    assert found("-", listed=lines) == [a, b, odd]
    assert found("-", listed=[bytes(a) + b"\0" + bytes(odd) + b"\0"]) == [a, odd]


def test_a_folder_without_end_gives_its_first_recordings_at_once(monkeypatch, tmp_path):
    """What a listing of the whole would never do."""

    class Endless:
        taken = 0

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def __iter__(self):
            return self

        def __next__(self):
            self.taken += 1
            return next(self.entries)

    class Entry:
        def __init__(self, number):
            self.path = f"{tmp_path}/{-number:09d}.wav"

        def is_dir(self):
            return False

    folder = Endless()
    folder.entries = map(Entry, iter(range(10**9)))
    monkeypatch.setattr("humtune.runtime.sources.os.scandir", lambda _: folder)
    first = list(islice(find_recordings([str(tmp_path)]), SORTED + 5))
    assert folder.taken <= SORTED + 6
    assert first[:SORTED] == sorted(first[:SORTED])  # as many as are soon there are put in order


def test_few_are_counted_and_many_are_not_waited_for(tmp_path):
    few = [tmp_path / f"{i}.wav" for i in range(3)]
    again, count = counted(iter(few))
    assert (list(again), count) == (few, 3)
    many = (tmp_path / f"{i}.wav" for i in range(10 * SORTED))
    again, count = counted(many)
    assert count is None
    assert next(many).name == f"{SORTED + 1}.wav"
    assert next(again).name == "0.wav"


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

    def play(script, until=100.0):
        clock = Clock(script, until)
        monkeypatch.setattr("humtune.runtime.sources.time", clock)
        found = []
        with suppress(Over):
            for path in watch(tmp_path / "in"):
                found.append((clock.now, path))
        return found

    return play


def test_what_is_no_folder_is_refused_at_once(tmp_path):
    with pytest.raises(UsageError, match="nowhere: not a folder that can be watched"):
        watch(tmp_path / "nowhere")


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
