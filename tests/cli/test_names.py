"""Hard names through every command: shown whole, given back by what is suggested, files where they belong."""

import csv
import html
import json
import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hostile import HOSTILE_NAMES
from models import make_info, write_model
from searches import Bench, clip_table

from humtune.cli import main
from humtune.errors import UsageError
from humtune.names import LONGEST, check_name, join_names
from humtune.storage import Storage


def can_be(name: str) -> bool:
    try:
        check_name(name, "name", "")
    except UsageError:
        return False
    return True


NAMES = [name for name in HOSTILE_NAMES if can_be(name)]
TRIAL = "00000"


def packed(names: list[str]) -> list[str]:
    """All of the names in a few, each as long as a name can be."""
    found = [""]
    for name in names:
        if len(os.fsencode(f"{found[-1]} {name}")) > LONGEST:
            found.append("")
        found[-1] = f"{found[-1]} {name}".strip()
    return found


MACHINES = packed(NAMES)
SEARCH, *_ = packed(NAMES[::-1][1:])
PLACE = "runs [1] 100% %20 #1 what? 'o' $HOME"


def squeezed(text: str) -> str:
    """Without what a table puts between the parts of a long cell."""
    return "".join(letter for letter in text if letter not in " \n│┃")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A search of each name, with a machine of that name; and one of all names as machines."""
    bench = Bench(Storage(tmp_path_factory.mktemp("names") / PLACE))
    for name in NAMES:
        ledger = bench.search(name, clips={name: clip_table(name, per_cell=2, held_out=4)}, trials=1)
        bench.trial(ledger, name, 0, skill=1)
    tables = {machine: clip_table(machine, per_cell=4) for machine in MACHINES}
    for table in tables.values():
        table.name[:] = [f"section_{s:02d}_{i:04d}.wav" for i, s in enumerate(table.section)]
    ledger = bench.search(SEARCH, clips=tables, trials=2)
    for machine in MACHINES:
        for number in range(2):
            bench.trial(ledger, machine, number, skill=number)
    return bench


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """The command in an empty folder: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HUMTUNE_STORAGE", bench.storage.uri)

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["humtune", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main.main()
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    return run


def suggested(out: str, verb: str) -> list[str]:
    """The words of the command that a line suggests, as a shell reads them."""
    [line] = [line for line in out.splitlines() if f"humtune {verb} " in line]
    return shlex.split(line[line.index(f"humtune {verb} ") :].partition("   ")[0])[2:]


def test_runs_lists_every_name_whole(run: Run) -> None:
    code, out, _ = run("runs")
    assert code == 0
    for name in [*NAMES, SEARCH]:
        assert squeezed(name) in squeezed_rows(out)
    told = json.loads(run("runs", "--json")[1])
    assert {summary["name"] for summary in told} == {*NAMES, SEARCH}


def squeezed_rows(out: str) -> str:
    """The first and third columns, each read downwards: rows of a table whose cells are folded."""
    lines = out.splitlines()
    rule = next(line for line in lines if set(line) == {"─"})
    head = lines[lines.index(rule) - 1]
    second, fourth = head.index("created"), head.index("trials")
    third = head.index("machines")
    rows = lines[lines.index(rule) + 1 :]
    columns = [row[: second - 1] for row in rows] + [row[third : fourth - 1] for row in rows]
    return squeezed("".join(columns))


@pytest.mark.parametrize("name", NAMES)
def test_a_name_finds_its_search_and_is_shown_whole(run: Run, bench: Bench, name: str) -> None:
    code, out, err = run("show", name)
    assert (code, err) == (0, "")
    rows = out.splitlines()
    width = next(row for row in rows if row.strip().startswith("machine")).index("best trial")
    assert squeezed("".join(row[: width - 1] for row in rows[2:])).startswith(squeezed(name))
    code, out, err = run("show", name, f"{name}-{TRIAL}")
    assert (code, err) == (0, "")
    assert out.startswith(f"{name}-{TRIAL}: complete")
    assert f"{bench.storage.uri}/{name}/trials/{name}-{TRIAL}" in out
    code, out, _ = run("stop", name, "--storage", bench.storage.uri)
    assert code == 0
    assert out.startswith(f"{name} ends within seconds; humtune resume ")
    line = out.partition("; ")[2].removesuffix(" goes on with it\n")
    assert shlex.split(line) == ["humtune", "resume", name]


def test_a_suggested_command_finds_another_storage(
    run: Run, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HUMTUNE_STORAGE")
    out = run("stop", SEARCH, "--storage", bench.storage.uri)[1]
    words = shlex.split(out[out.index("humtune resume") :].removesuffix(" goes on with it\n"))
    assert words == ["humtune", "resume", SEARCH, "--storage", bench.storage.uri]


def test_a_report_holds_every_name_whole(run: Run, bench: Bench) -> None:
    code, out, _ = run("report", SEARCH)
    assert code == 0
    assert f"written: {bench.storage.uri}/{SEARCH}/report/table.md\n" in out
    folder = bench.storage.path(f"{SEARCH}/report")
    drawn = ("history", "scores", "roc")
    plots = {f"{machine}-{plot}.png" for machine in MACHINES for plot in drawn}
    tables = {f"table.{ending}" for ending in ("md", "csv", "html", "tex")}
    assert {file.name for file in folder.iterdir()} == tables | plots
    with (folder / "table.csv").open(newline="") as stream:
        best = [row["machine"] for row in csv.DictReader(stream) if row["choice"] == "best"]
    assert best == [*MACHINES, "all"]
    page = (folder / "table.html").read_text()
    assert page.count("data:image/png") == len(plots)
    plain = [html.unescape(re.sub("<[^>]*>", "", line)) for line in page.splitlines()]
    assert plain.count(SEARCH) == 2, "the title and the first heading"
    for machine in MACHINES:
        assert plain.count(machine) >= 2, "its row and its heading"


@pytest.mark.slow
def test_ensembles_and_submissions_are_of_every_name(run: Run, bench: Bench, tmp_path: Path) -> None:
    code, out, err = run("ensemble", SEARCH, "--machines", join_names(MACHINES[:2]))
    assert code == 0, err
    assert suggested(out, "show") == [SEARCH, f"{MACHINES[0]}-ensemble"]
    code, out, _ = run("show", SEARCH, f"{MACHINES[0]}-ensemble")
    assert code == 0
    assert squeezed(MACHINES[0]) in squeezed(out)
    code, out, _ = run("submit", SEARCH, "--out", "sub [x] 'q'")
    assert code == 0
    assert suggested(out, "evaluate") == ["sub [x] 'q'", "--truth", "recordings"]
    names = {
        f"{kind}_{machine}_section_{section:02d}_test.csv"
        for kind in ("anomaly_score", "decision_result")
        for machine in MACHINES
        for section in (0, 1, 3, 4)
    }
    assert {file.name for file in (tmp_path / "sub [x] 'q'").iterdir()} == names
    assert [entry.name for entry in tmp_path.iterdir()] == ["sub [x] 'q'"]


def test_truth_of_every_name_is_found(run: Run, tmp_path: Path) -> None:
    for folder in ("scores", "truth/ground_truth_data", "truth/ground_truth_domain"):
        (tmp_path / folder).mkdir(parents=True)
    for machine in MACHINES:
        clips = [f"section_03_{i:04d}.wav" for i in range(8)]
        score = "".join(f"{clip},{i % 2 + i / 100}\n" for i, clip in enumerate(clips))
        (tmp_path / "scores" / f"anomaly_score_{machine}_section_03_test.csv").write_text(score)
        for i, kind in enumerate(("data", "domain")):
            truth = "".join(f"{clip},{n // (1 + 3 * i) % 2}\n" for n, clip in enumerate(clips))
            place = tmp_path / "truth" / f"ground_truth_{kind}"
            (place / f"ground_truth_{machine}_section_03_test.csv").write_text(truth)
    code, out, err = run("evaluate", "scores", "--truth", "truth")
    assert (code, err) == (0, "")
    told = json.loads(run("evaluate", "scores", "--truth", "truth", "--json")[1])
    assert [*told["machines"]] == sorted(MACHINES)
    (tmp_path / "scores" / f"anomaly_score_{MACHINES[0]}_section_03_test.csv").unlink()
    code, _, err = run("evaluate", "scores", "--truth", "truth")
    assert code == 2
    words = shlex.split(err[err.index("--machines") :].removesuffix(" evaluates the others alone\n"))
    code, out, _ = run("evaluate", "scores", "--truth", "truth", "--json", *words)
    assert [*json.loads(out)["machines"]] == sorted(MACHINES[1:])


def square(path: Path, loudness: float, seconds: float = 0.5) -> None:
    wave = loudness * np.where(np.arange(int(16_000 * seconds)) % 2, 1.0, -1.0)
    with path.open("wb") as stream:
        soundfile.write(stream, wave, 16_000, format="WAV", subtype="PCM_16")


@pytest.mark.parametrize("name", NAMES)
def test_a_model_and_a_recording_of_any_name(run: Run, tmp_path: Path, name: str) -> None:
    write_model(tmp_path / "models" / name, make_info(machine=name, search=name, trial=f"{name}-00000"))
    (tmp_path / name).mkdir()
    sounds = [tmp_path / name / f"{kind}{name[:60]}.wav" for kind in ("loud", "soft")]
    for path, loudness in zip(sounds, (0.5, 0.05), strict=True):
        square(path, loudness)
    code, out, err = run("score", f"models/{name}", name, "--out", f"out {name}")
    assert (code, err.count("could not")) == (3, 0)
    assert f"anomaly {name}/{sounds[0].name}\n" in out
    assert f"normal {name}/{sounds[1].name}\n" in out
    assert f"written: 3 files in out {name}\n" in err
    kinds = ("anomaly_score", "decision_result")
    written = {file.name for file in (tmp_path / f"out {name}").iterdir()}
    assert {n for n in written if not n.startswith("log-")} == {
        *(f"{kind}_{name}.csv" for kind in kinds),
        "index.html",
        "exhibits",
    }
    with (tmp_path / f"out {name}" / f"decision_result_{name}.csv").open(newline="") as stream:
        assert dict(csv.reader(stream)) == {sounds[0].name: "1", sounds[1].name: "0"}
    assert {entry.name for entry in tmp_path.iterdir()} == {"models", name, f"out {name}"}
    *lines, last = map(json.loads, run("score", f"models/{name}", f"{name}/*", "--json")[1].splitlines())
    assert sorted(line["file"] for line in lines) == sorted(f"{name}/{path.name}" for path in sounds)
    assert last["machine"] == name
    code, _, err = run("threshold", f"models/{name}")
    assert (code, err) == (
        2,
        f"humtune: the model of {name} keeps no scores to choose another threshold by; export it again\n",
    )


def test_a_long_recording_of_any_name_has_its_table(run: Run, tmp_path: Path) -> None:
    write_model(tmp_path / "model", make_info())
    (tmp_path / "in").mkdir()
    odd = os.fsdecode(b"caf\xe9 $x$ \n.wav")
    names = [f"{name}.wav" for name in packed(NAMES)] + [odd, "x" * 251 + ".wav", "é" * 125 + ".wav"]
    for name in names:
        square(tmp_path / "in" / name, 0.05, seconds=25)
    code, out, err = run("score", "model", "in", "--window", "10")
    assert (code, "could not" in err) == (0, False)
    assert "normal in/caf\\udce9 $x$ \\n.wav" in out
    found = [os.fsencode(path.name) for path in (tmp_path / "scores" / "exhibits").glob("*.windows.csv")]
    assert len(found) == len(names)
    assert max(map(len, found)) <= 255
    with (tmp_path / "scores" / "anomaly_score_fan.csv").open(newline="", errors="surrogateescape") as stream:
        assert {name for name, _ in csv.reader(stream)} == set(names)


def test_a_pattern_may_begin_with_a_folder_that_looks_like_one(run: Run, tmp_path: Path) -> None:
    write_model(tmp_path / "model", make_info())
    (tmp_path / "night[1]" / "b").mkdir(parents=True)
    square(tmp_path / "night[1]" / "b" / "a.wav", 0.05)
    code, out, _ = run("score", "model", "night[1]/*/*.wav")
    assert (code, out.split()[-1]) == (0, "night[1]/b/a.wav")


def test_data_of_any_name_is_checked(run: Run, tmp_path: Path) -> None:
    for machine in (*NAMES, " edge ", "-x", "two\nlines"):
        folder = tmp_path / PLACE / machine / "train"
        folder.mkdir(parents=True)
        square(folder / "section_00_source_train_normal_0000.wav", 0.1)
    code, out, _ = run("data", "check", PLACE)
    assert code == 1
    assert out.startswith(f"{PLACE}\n")
    for machine, reason in {
        " edge ": "begins or ends with a space",
        "-x": "begins with a dash, as options do",
        "two\\nlines": "holds a character that can't be seen",
    }.items():
        assert f"  {PLACE}/{machine}: a machine called '{machine}' {reason}; rename its folder\n" in out
    assert "3 bad folders" in out
    told = json.loads(run("data", "check", PLACE, "--json")[1])
    assert {cell["machine"] for cell in told[0]["counts"]} >= set(NAMES)
    code, _, err = run("search", "quick", "--data", PLACE)
    assert (code, err.count("\n")) == (2, 1)
    assert f"{PLACE}/ edge : a machine called ' edge ' begins or ends with a space; rename its folder" in err


@pytest.mark.parametrize("name", ["-x", " a", "a\nb", "x" * 201, "a/b", ".a", "caf\udce9"])
def test_a_search_can_not_have_a_name_that_works_nowhere(run: Run, name: str) -> None:
    code, _, err = run("search", "quick", "--data", ".", "--name", name)
    assert (code, err.count("\n")) == (2, 1)
    assert err.endswith("; choose another --name\n")


def test_a_name_of_the_same_letters_is_found(run: Run) -> None:
    assert run("show", "caf\u00e9")[0] == 0
    assert run("show", SEARCH, f"{MACHINES[0]}-00000")[0] == 0
    code, _, err = run("show", "../names")
    assert code == 2
    assert "no search named '../names' in" in err
