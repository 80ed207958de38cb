"""The page of a folder of results, as text."""

import re
import time
from dataclasses import replace
from pathlib import Path

import pytest
from models import RATE, make_graph, make_info, write_model

from humtune.errors import UsageError
from humtune.runtime.info import Evidence
from humtune.runtime.labels import LABELS, Label, add_label, read_labels
from humtune.runtime.log import Log, log_path, read_log
from humtune.runtime.outcomes import Scored
from humtune.runtime.page import PAGE, RECENT, SHOWN, Recent, update_page, with_labels, write_page
from humtune.runtime.recordings import Listener
from humtune.runtime.results import DETAILS, ResultFiles, detail_name
from humtune.runtime.scale import Scale
from humtune.runtime.scorer import Scorer

OTHERS = ("kept.windows.csv", "own.flac", "own.wav-20261130.flac", "own.wav-20261130.json")
EVIDENCE = Evidence(held_out=(0.0, 0.02, 0.05), clip_samples=8_000)


@pytest.fixture
def scorer(tmp_path):
    write_model(tmp_path / "model", make_info(evidence=EVIDENCE))
    return Scorer.open(tmp_path / "model")


@pytest.fixture
def scored(scorer, tmp_path):
    """Score recordings into a folder; the folder."""

    def score(*paths):
        with ResultFiles(tmp_path / "scores", scorer.info, model=scorer.digest) as results:
            for outcome in Listener(scorer).listen(paths):
                results.write(outcome)
        return tmp_path / "scores"

    return score


def names(page: str) -> list[str]:
    return re.findall(r"</span>([^<]+)</h2>", page)


def test_the_strangest_come_first_each_with_its_last_result(scored, scorer, record):
    folder = scored(record("a.wav", 0.3), record("b.wav", 0.05), record("c.wav", 0.2))
    record("a.wav", 0.012)
    scored(record("a.wav", 0.012))
    page = update_page(folder, scorer, []).read_text()
    assert names(page) == ["c.wav", "b.wav", "a.wav"]
    assert "1 of 3 recordings above the limit" in page
    assert all(f"{times:.2f} × limit" in page for times in (2.25, 0.38, -0.1))


def test_it_needs_nothing_from_elsewhere_and_what_it_shows_is_there(scored, scorer, record):
    folder = scored(record("a #1?.wav", 0.3), record("b.wav", 0.2))
    page = update_page(folder, scorer, []).read_text()
    assert "brings no healthy sound to compare it with; export it again" in page
    places = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(places) == 4
    assert all((folder / place).is_file() for place in places)
    assert not re.search(r"https?://|@import|url\(", page)


def test_names_are_text_whatever_is_in_them(scored, scorer, record, tmp_path):
    odd = "<b>&\"'\n$title ü \udcff.wav"
    folder = scored(record("plain.wav", 0.3).rename(tmp_path / odd))
    add_label(folder, next(read_log(folder)).file + "</script>*/", "bad")
    page = update_page(folder, scorer, []).read_text()
    assert "<b>&\"'" not in page
    assert names(page) == ["&lt;b&gt;&amp;&quot;&#x27;\\n$title ü \\udcff.wav"]
    assert page.count("</script>") == 2  # the labels and the program


def test_only_so_many_are_shown_and_what_else_there_was_is_removed(scored, scorer, record):
    paths = [record(f"{i:02d}.wav", 0.001 * (i + 1)) for i in range(SHOWN + 3)]
    folder = scored(*paths[:SHOWN])
    update_page(folder, scorer, [])
    for name in OTHERS:
        (folder / DETAILS / name).touch()
    assert len(list((folder / DETAILS).glob("*.png"))) == SHOWN
    scored(*paths[SHOWN:])
    page = update_page(folder, scorer, []).read_text()
    assert names(page) == [path.name for path in paths[:2:-1]]
    assert "3 less strange" in page
    kept = {detail_name(str(path), scorer.digest) for path in paths[3:]}
    assert {path.stem for path in (folder / DETAILS).glob("*.png")} == kept
    for name in OTHERS:
        assert (folder / DETAILS / name).exists()


def test_recordings_of_the_users_stay_wherever_the_results_go(scorer, record, tmp_path):
    own = record("pump.wav", 0.3).rename(tmp_path / "recordings" / "pump.wav-20261130.flac")
    with ResultFiles(tmp_path, scorer.info, model=scorer.digest) as results:
        results.write(Listener(scorer).score(own))
    update_page(tmp_path, scorer, [])
    assert own.exists()


def test_a_page_of_something_else_is_left_alone(scored, scorer, record):
    folder = scored(record("a.wav", 0.3))
    (folder / PAGE).write_text("my own")
    with pytest.raises(UsageError, match=r"index.html: a page of something else .* --out, or --no-page"):
        update_page(folder, scorer, [])
    assert (folder / PAGE).read_text() == "my own"


def test_exhibits_are_made_once(scored, scorer, record):
    folder = scored(record("a.wav", 0.3))
    update_page(folder, scorer, [])
    (picture,) = (folder / DETAILS).glob("*.png")
    before = picture.stat().st_mtime_ns
    update_page(folder, scorer, [])
    assert picture.stat().st_mtime_ns == before


def test_what_another_model_of_the_same_trial_has_scored_is_its_own(scored, scorer, record, tmp_path):
    folder = scored(record("a.wav", 0.3), record("b.wav", 0.2))
    update_page(folder, scorer, [])
    write_model(tmp_path / "again", scorer.info, make_graph(scorer.info, log=True))
    other = Scorer.open(tmp_path / "again")
    assert other.digest != scorer.digest
    with ResultFiles(folder, other.info, model=other.digest) as results:
        assert list(results.seen()) == []
        results.write(Scored(record("b.wav", 0.2), 0.5, Scale(0.1, 0.02), seconds=0.5))
    page = update_page(folder, scorer, []).read_text()
    assert names(page) == ["b.wav", "a.wav"]
    assert page.count("another model has scored it") == 1
    (picture,) = (folder / DETAILS).glob("*.png")
    assert picture.stem == detail_name(str(tmp_path / "recordings" / "a.wav"), scorer.digest)


def test_entries_of_before_the_model_was_logged_are_of_the_same_trial(scorer, record, tmp_path):
    with ResultFiles(tmp_path / "scores", scorer.info) as results:
        results.write(Listener(scorer).score(record("a.wav", 0.3)))
    with ResultFiles(tmp_path / "scores", scorer.info, model=scorer.digest) as results:
        assert len(list(results.seen())) == 1
    assert "<img " in update_page(tmp_path / "scores", scorer, []).read_text()


def test_a_recording_that_is_gone_is_still_on_the_page(scored, scorer, record):
    path = record("a.wav", 0.3)
    folder = scored(path)
    path.unlink()
    page = update_page(folder, scorer, []).read_text()
    assert names(page) == ["a.wav"]
    assert "No closer look: it is gone" in page


def test_recordings_of_several_machines_are_told_apart(scored, scorer, record, tmp_path):
    folder = scored(record("a.wav", 0.3))
    with ResultFiles(folder, make_info(machine="valve")) as results:
        results.write(Listener(scorer).score(record("b.wav", 0.2)))
    page = write_page(folder, Recent(folder).strangest(), RATE).read_text()
    assert "fan, valve: 2 recordings" in page
    assert "valve; recorded" in page


def test_only_the_newest_are_known_and_scores_without_a_scale_are_in_order(scored, record):
    folder = scored(record("a.wav", 0.3))
    (entry,) = read_log(folder)
    with Log(folder) as log:
        for i in range(RECENT + 5):
            log.append(replace(entry, file=f"/{i}.wav", score=-i, usual=None, anomaly=i == 5))
    found = Recent(folder).strangest()
    assert [e.file for e in found[:3]] == ["/5.wav", "/6.wav", "/7.wav"]
    assert len(found) == RECENT


def test_what_the_page_knows_is_not_read_again(scored, record):
    folder = scored(record("a.wav", 0.3), record("b.wav", 0.2))
    recent = Recent(folder)
    assert [Path(entry.file).name for entry in recent.strangest()] == ["a.wav", "b.wav"]
    path, kept = log_path(folder), log_path(folder).read_bytes()
    path.write_bytes(b" " * len(kept))  # would be no entries any more
    scored(record("a.wav", 0.01), record("c.wav", 0.4))
    assert [Path(entry.file).name for entry in recent.strangest()] == ["c.wav", "b.wav", "a.wav"]
    whole = path.read_bytes()
    half = whole.splitlines()[-1][:50]
    path.write_bytes(whole + half)  # a line that is being written
    assert len(recent.strangest()) == 3
    path.write_bytes(whole + whole.splitlines()[-1].replace(b"c.wav", b"d.wav") + b"\n")
    assert sorted(Path(entry.file).name for entry in recent.strangest()) == [
        "a.wav",
        "b.wav",
        "c.wav",
        "d.wav",
    ]


def test_recordings_of_a_day_that_was_taken_away_leave_the_page(scored, record):
    folder = scored(record("a.wav", 0.3))
    today, yesterday = log_path(folder), folder / "log-2001-01-01.jsonl"
    line = today.read_bytes()
    yesterday.write_bytes(line.replace(b"a.wav", b"b.wav"))
    recent = Recent(folder)

    def shown() -> list[str]:
        return sorted(Path(entry.file).name for entry in recent.strangest())

    assert shown() == ["a.wav", "b.wav"]
    yesterday.unlink()
    assert shown() == ["a.wav"]


def test_a_log_that_was_made_anew_is_read_from_its_start(scored, record):
    folder = scored(*(record(f"{i}.wav", 0.3) for i in range(3)))
    recent, path = Recent(folder), log_path(folder)
    first, *_ = lines = path.read_bytes().splitlines(keepends=True)
    assert len(recent.strangest()) == 3
    path.write_bytes(first.replace(b"0.wav", b"a.wav"))  # shorter
    assert [Path(entry.file).name for entry in recent.strangest()] == ["a.wav"]
    other = folder / "draft"
    other.write_bytes(b"".join(lines).replace(b"0.wav", b"b.wav"))
    other.replace(path)  # longer, and another file
    assert sorted(Path(entry.file).name for entry in recent.strangest()) == ["1.wav", "2.wav", "b.wav"]


def test_the_trend_is_of_all_and_of_many_alarms_and_some_others_are_dots(scored, record):
    (entry,) = read_log(scored(record("a.wav", 0.3)))
    usual = [
        replace(entry, file=f"/{i}.wav", score=0.02, recorded=1.7e9, anomaly=False) for i in range(1_200)
    ]
    strange = [replace(entry, file=f"/s{i}.wav", recorded=1.7e9 + i) for i in range(600)]
    page = write_page(record("b.wav", 0.1).parent, strange + usual, RATE).read_text()
    assert page.count('<b class="anomaly"') == 600
    assert page.count('<b class="normal"') == 300
    assert "(of those below the limit one in 4)" in page
    (median,) = re.findall(r'<polyline points="[\d.]+,([\d.]+)"', page)
    assert set(re.findall(r'<b class="normal" [^>]*top:([\d.]+)%', page)) == {median}


def test_labels_are_the_last_ones_and_another_page_of_them_is_the_same_otherwise(scored, scorer, record):
    folder = scored(record("a.wav", 0.3))
    file = next(read_log(folder)).file
    assert read_labels(folder) == {}
    add_label(folder, file, "bad")
    add_label(folder, file, "healthy")
    odd = 'odd\udcff,\n".wav'
    add_label(folder, odd, "unsure")
    said = read_labels(folder)
    assert {name: label.label for name, label in said.items()} == {file: "healthy", odd: "unsure"}
    assert all(0 <= time.time() - label.time < 600 for label in said.values())
    page = update_page(folder, scorer, []).read_bytes()
    other = with_labels(page, {file: Label("unsure", 1.5)})
    assert b'["unsure", 1500]}</script>' in other
    assert with_labels(other, said) == page
    assert with_labels(b"a page of before", said) == b"a page of before"


def test_no_name_is_taken_for_the_place_of_the_labels(scored, scorer, record, tmp_path):
    odd = '*labels*/<script type="application/json" id="labels">'
    (tmp_path / odd).mkdir(parents=True)
    folder = scored(record("a.wav", 0.3).rename(tmp_path / odd / "a.wav"))
    add_label(folder, next(read_log(folder)).file, "bad")
    page = update_page(folder, scorer, []).read_bytes()
    assert with_labels(page, read_labels(folder)) == page
    (data,) = re.findall(
        rb'<script type="application/json" id="labels">(.*?)</script>', with_labels(page, {})
    )
    assert data == b"{}"


def test_a_carriage_return_in_a_name_tears_no_labels(tmp_path):
    for file in ("/a\rb.wav", "/a.wav"):
        add_label(tmp_path, file, "bad")
    assert list(read_labels(tmp_path)) == ["/a\rb.wav", "/a.wav"]


@pytest.mark.parametrize("when", ["", "yesterday", "2026-11-30T14:16:00+0000", "2026-11-30T14:16:00.000Z"])
def test_labels_of_whatever_time_are_read(tmp_path, when):
    (tmp_path / LABELS).write_text(f"recording,label,time\n/a.wav,bad,{when}\n")
    assert read_labels(tmp_path) == {"/a.wav": Label("bad", 1_796_048_160.0 if "2026" in when else 0.0)}


@pytest.mark.parametrize("line", ["/a.wav,good,", "/a.wav,,", ",bad,"])
def test_labels_of_no_kind_are_refused(tmp_path, line):
    with pytest.raises(UsageError, match="no label 'good'; there are healthy, bad, unsure"):
        add_label(tmp_path, "/a.wav", "good")
    (tmp_path / LABELS).write_text(f"recording,label,time\n{line}\n")
    with pytest.raises(UsageError, match=r"labels.csv: expected recording,label,time, a label of healthy"):
        read_labels(tmp_path)


def test_before_anything_is_scored_the_page_says_so(tmp_path):
    page = write_page(tmp_path, [], RATE).read_text()
    assert "<title>no recordings</title>" in page
    assert "Nothing has been scored yet." in page
