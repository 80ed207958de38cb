"""Which recordings are found."""

import os
from itertools import islice
from pathlib import Path

import pytest

from humtune.runtime.outcomes import Failed
from humtune.runtime.sources import SORTED, counted, find_recordings


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


def test_folders_beside_recordings_are_counted_once_unless_they_are_named_too(record, caplog):
    new = record("n w/a.wav", 0.1).parent
    for name in ("b/c.wav", "d/e/f.wav", ".g/h.wav", "i/j.wav"):
        record(f"n w/{name}", 0.1)
    assert len(found(new, new / "i")) == 2
    (told,) = (r.getMessage() for r in caplog.records)
    assert told.startswith(f"2 folders beside recordings passed over (the first is {new}/")
    assert told.endswith(f"; '{new}/**/*.*' takes what is in them too")
    caplog.clear()
    assert len(found(f"{new}/**/*.*")) == 4
    assert len(found(new / "d")) == 1  # none beside it: another sentence
    assert not caplog.records


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
