"""Kills every command that writes, lets its file system fail, and reads whether anything was lost.

    python benchmarks/drill.py [COMMAND …] --kills 20 --faults 10 [--seed 0] [--write docs/reliability.md]

A step is a call by which a process changes a file: a write, a rename, a new folder, SQLite's too. A command
is run unbroken and its steps are counted. Then it dies at some of them, in the middle of a write; or the disk
is full from one on, or can't be written, or a single call fails; or every step takes a while; or the same
command runs twice at once. Then it is run again, and all files are compared with those of the unbroken run.
`search`, whose processes are many, is killed and resumed as drill_search.py says.
"""

import argparse
import importlib.util
import os
import random
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path

from drill_checks import check
from drill_faults import VARIABLE, Fault, Page, begin, build, end
from drill_page import FAULTS, Counts, write_page
from drill_search import HASTY, KILLS, Kind
from drill_search import drill as kill_searches

HERE = Path(__file__).parent
PATIENCE = 240.0  # seconds in which a command must end
PAUSE = 0.002  # seconds that a step takes on slow storage

Contents = dict[str, list[bytes]]  # name, without what names a run -> the files that have it


@dataclass(frozen=True)
class Scene:
    """A command that writes; {} is the folder that all happens in."""

    words: str
    codes: tuple[int, ...] = (0,)  # of success
    refuses: str = ""  # what it says where all is done already, or where another one is at work
    grows: str = r"mlflow\.db|mlflow-artifacts/"  # files that needn't be whole at any moment
    forgiving: str = "archive/"  # files without which the command still does what it should
    until: str = ""  # of a command without an end: the file that grows to so many lines
    lines: int = 0
    without: str = ""  # a file that the command is to make
    needs: str = ""  # beside recordings and a search: models, mlflow


TOLD = dict(zip((Fault.KILL, Fault.FULL, Fault.BROKEN, Fault.READ_ONLY, Fault.SLOW), FAULTS, strict=False))
RUNS = "--storage {}/runs"
SCENES = {
    "data synth": Scene(
        "data synth {}/new --machines fan --sections 2 --clips 3 --target-clips 1 --test-per-cell 1 "
        "--seconds 0.2",
        refuses="is there already and not empty",
    ),
    "data fetch": Scene(
        "data fetch {}/fetched --machines fan", refuses="another humtune data fetch is at work", grows="zips/"
    ),
    "banks and probes": Scene("", refuses="there is a search named 'new'"),
    "report": Scene(f"report small {RUNS}"),
    "submit": Scene(f"submit small --out {{}}/submission {RUNS}"),
    "ensemble": Scene(f"ensemble small --exportable {RUNS}"),
    "ensemble --import": Scene("ensemble --import {}/one --import {}/two --truth {}/data --out {}/joined"),
    "export": Scene(f"export small --out {{}}/models --no-register {RUNS}", needs="models"),
    "export --int8": Scene(f"export small --out {{}}/models --int8 --no-register {RUNS}", needs="models"),
    "export --ensemble": Scene(
        f"export small --out {{}}/models --ensemble --no-register {RUNS}", needs="models"
    ),
    "export, registered": Scene(f"export small --out {{}}/models {RUNS}", needs="models, mlflow"),
    "track, no database yet": Scene(f"track small {RUNS}", without="runs/mlflow.db", needs="mlflow"),
    "track": Scene(f"track known {RUNS}", needs="mlflow"),
    "score": Scene(
        "score {}/models/fan {}/data/dev_data/fan/test {}/long.wav --out {}/scores",
        codes=(0, 3),
        grows="scores/[ad].*csv",
        needs="models",
    ),
    "score --watch": Scene(
        "score {}/models/fan --watch {}/arriving --out {}/scores",
        codes=(0, 3),
        grows="scores/[ad].*csv",
        until="scores/decision_result_fan_section_00_test.csv",
        lines=3,
        needs="models",
    ),
    "threshold, show, runs": Scene(
        f"threshold {{}}/models/fan | show small {RUNS} | runs {RUNS}", needs="models"
    ),
}


@dataclass
class Drill:
    """What was tried how often, and what was lost."""

    folder: Path
    page: Page
    counts: Counts = field(default_factory=Counts)
    rng: random.Random = field(default_factory=random.Random)

    @property
    def here(self) -> Path:
        """Where a command is run: always the same place, as some files tell it."""
        return self.folder / "here"

    def renew(self, scene: Scene) -> None:
        self.page.arm(Path("/nowhere"))
        shutil.rmtree(self.here, ignore_errors=True)
        shutil.copytree(self.folder / "template", self.here)
        if scene.without:
            (self.here / scene.without).unlink()

    def begin(self, scene: Scene) -> int:
        self.log.write_bytes(b"")
        return begin(partial(perform, scene, self.here), self.log)

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def end(self, scene: Scene, pid: int) -> int | None:
        """A command's exit code; one without an end is asked to end when it has written all it should."""
        deadline = time.monotonic() + PATIENCE
        if scene.until:
            while time.monotonic() < deadline and os.waitid(os.P_PID, pid, WAITING) is None:
                with suppress(FileNotFoundError):
                    if len((self.here / scene.until).read_bytes().splitlines()) >= scene.lines:
                        os.kill(pid, signal.SIGTERM)
                        break
                time.sleep(0.05)
        code = end(pid, deadline - time.monotonic())
        for other in session(pid):
            os.kill(other, signal.SIGKILL)
            self.counts.lost.append(f"{scene.words.split(chr(32))[0]}: process {other} outlived its command")
        return code

    def run(self, scene: Scene) -> int | None:
        return self.end(scene, self.begin(scene))

    def is_well(self, scene: Scene, code: int | None) -> bool:
        """Whether a command did its work, or said that it is done."""
        return code in scene.codes or bool(scene.refuses and scene.refuses in self.log.read_text())

    def drill(self, name: str, kills: int, faults: int) -> None:
        """Try a command with every fault."""
        scene, unbroken = SCENES[name], []
        for _ in range(2):
            self.renew(scene)
            before = read(self.here)
            self.page.arm(self.here)
            code = self.run(scene)
            if code not in scene.codes:
                raise SystemExit(f"{name} fails though nothing is broken:\n{self.log.read_text()}")
            self.counts.steps[name] = self.page.steps
            unbroken.append(read(self.here))
        steps = range(1, self.counts.steps[name] + 1)
        if not steps:
            return
        after = Expected(unbroken[0], unbroken[1], before)
        for fault, count in (
            (Fault.KILL, kills),
            *((f, faults) for f in (Fault.FULL, Fault.BROKEN, Fault.READ_ONLY)),
        ):
            for at in sorted(self.rng.sample(steps, min(count, len(steps)))):
                self.renew(scene)
                self.page.arm(self.here, fault, at=at)
                code = self.run(scene)
                if self.page.met:  # threads take turns: an unlucky run has a few steps less
                    self.counts.tried[name][TOLD[fault]] += 1
                    self.judge(name, fault, at, code, after)
        for fault, heads in ((Fault.SLOW, 1), (Fault.SLOW, 2)):
            for _ in range(min(faults, 1) if heads == 1 else faults):
                self.renew(scene)
                self.page.arm(self.here, fault, slow=PAUSE)
                pids = []
                for _ in range(heads):
                    pids.append(self.begin(scene))
                    time.sleep(self.rng.uniform(0.0, 0.3))
                codes = [self.end(scene, pid) for pid in pids]
                what = TOLD[fault] if heads == 1 else "two at once"
                self.counts.tried[name][what] += 1
                if not all(self.is_well(scene, code) for code in codes):
                    self.lose(name, what, f"exit codes {codes}")
                self.compare(name, what, after, scene)

    def judge(self, name: str, fault: Fault, at: int, code: int | None, after: "Expected") -> None:
        """Look at what a fault left behind, run the command again, and look at what that made."""
        scene, what, said = SCENES[name], f"{TOLD[fault]} at step {at}, {self.page.met}", self.log.read_text()
        self.page.arm(Path("/nowhere"))
        if torn := after.torn(read(self.here), scene.grows):
            self.lose(name, what, f"torn: {torn}")
        if fault == Fault.KILL:
            if code != -signal.SIGKILL:
                self.lose(name, what, f"exit code {code}, though it was killed")
        elif code is None or code < 0:
            self.lose(name, what, f"exit code {code}")
        elif "Traceback" in said:
            self.lose(name, what, "a traceback: " + said.strip().splitlines()[-1])
        elif code in scene.codes and (differs := after.differs(read(self.here), scene.forgiving)):
            self.lose(name, what, f"said to be done, but {differs}")
        code = self.run(scene)
        if not self.is_well(scene, code):
            self.lose(name, what, f"run again, exit code {code}: {self.log.read_text()[-600:]}")
        self.compare(name, what, after, scene)

    def compare(self, name: str, what: str, after: "Expected", scene: Scene) -> None:
        if differs := after.differs(read(self.here)):
            self.lose(name, what, differs)

    def lose(self, name: str, what: str, why: str) -> None:
        self.counts.lost.append(f"{name}: {what}: {why}".replace(f"{self.here}/", ""))
        print(self.counts.lost[-1], flush=True)


WAITING = os.WEXITED | os.WNOHANG | os.WNOWAIT


def perform(scene: Scene, here: Path) -> None:
    """Run a scene's command in this process, as the command line would; of several, one after the other."""
    from humtune.cli import main as cli

    if not scene.words:
        cli.app = partial(search_begins, here)  # type: ignore[assignment]
    for words in scene.words.split(" | "):
        sys.argv = ["humtune", *words.replace("{}", str(here)).split()]
        try:
            cli.main()
        except SystemExit as ended:
            if ended.code not in (*scene.codes, None):
                raise
            code = ended.code
    sys.exit(code if scene.words else 0)


def search_begins(here: Path) -> None:
    """What a search does before its first trial: banks, probes, plan."""
    from humtune.search.run import prepare
    from humtune.search.space import check_space
    from humtune.storage import Storage

    storage = Storage(here / "runs")
    prepare(check_space(SPACE, where="drill"), name="new", data=here / "data", storage=storage)


def session(leader: int) -> list[int]:
    """The processes of a session that still run."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            if os.getsid(int(entry.name)) == leader and " Z " not in (entry / "stat").read_text():
                found.append(int(entry.name))
    return found


# what is compared


def read(folder: Path) -> Contents:
    """All files below a folder by name; hidden ones too, a database as its rows."""
    found: Contents = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        name = anonymous(str(path.relative_to(folder)))
        if path.is_dir():
            found[f"{name}/"] = []
        elif path.suffix == ".db":
            for table, rows in rows_of(path).items():
                found[f"{name}: {table}"] = rows
        else:
            found[name].append(path.read_bytes())
    return {name: sorted(contents) for name, contents in found.items()}


def anonymous(text: str) -> str:
    """A text without the numbers that MLflow gives its runs and models."""
    return re.sub(r"(m-)?[0-9a-f]{32}", "#", text)


TABLES = ("experiments", "runs", "params", "metrics", "tags", "registered_model_aliases", "model_versions")


def rows_of(path: Path) -> dict[str, list[bytes]]:
    """What MLflow's database holds of what we put into it."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as base:
        try:
            return {
                table: [anonymous(repr(row)).encode() for row in base.execute(f"select * from {table}")]
                for table in TABLES
            }
        except sqlite3.Error as error:
            return {"unreadable": [str(error).encode()]}


def plain(content: bytes) -> bytes:
    """A content without its numbers."""
    return re.sub(rb"[-+0-9.e]*[0-9][-+0-9.e]*", b"#", content)


class Expected:
    """An unbroken run's files; what two such runs differ in is compared without numbers, or by name alone."""

    def __init__(self, one: Contents, other: Contents, before: Contents) -> None:
        self.one, self.before = one, before
        if one.keys() != other.keys():
            raise SystemExit(f"unbroken runs leave different files: {sorted(one.keys() ^ other.keys())}")
        self.forms: dict[str, Callable[[bytes], object]] = {}
        for name, contents in one.items():
            for form in (bytes, plain, len, bool):
                if sorted(map(form, contents)) == sorted(map(form, other[name])):
                    self.forms[name] = form
                    break

    def differs(self, now: Contents, but: str = "") -> str:
        """The first file that is not as it should be."""
        for name in sorted(self.one.keys() | now.keys()):
            if but and re.search(but, name):
                continue
            if name not in now or name not in self.one:
                return f"{name} is {'missing' if name not in now else 'left'}"
            form = self.forms[name]
            if sorted(map(form, now[name])) != sorted(map(form, self.one[name])):
                return f"{name} has another content ({form.__name__})"
        return ""

    def torn(self, now: Contents, grows: str) -> str:
        """The first file that is neither as before nor as after; drafts, which are hidden, may be."""
        for name in sorted(self.before.keys() & self.one.keys() | now.keys()):
            if re.search(rf"(^|/)\.|{grows}", name):
                continue
            if (contents := now.get(name)) is None:
                return f"{name} is gone"
            form = self.forms.get(name, bytes)
            known = [form(c) for side in (self.before, self.one) for c in side.get(name, [])]
            if any(form(content) not in known for content in contents):
                return name
        return ""


# what there is to begin with

SPACE = {
    "trials": 2,
    "fixed": {
        "spectrogram": {"n_fft": 256, "chunk_frames": 32, "n_mels": 32, "db": True},
        "backbone": {"width": 0.125},
        "training": {"epochs": 2, "batch_size": 16, "chunks_per_clip": 2},
    },
    "search": {"head.mu": [5, 10]},
}


def furnish(folder: Path, needs: str) -> None:
    """Recordings, a finished search with ensembles, its models, and MLflow's database that knows another."""
    import numpy as np
    import soundfile

    from humtune.detectors.classifier.recipe import Classifier
    from humtune.export.search import export_search
    from humtune.ledger import Ledger
    from humtune.records import TrialRecord, TrialState, trial_id
    from humtune.report.submission import write_submission
    from humtune.results.ensembles.make import make_ensembles
    from humtune.search.run import prepare
    from humtune.search.space import check_space
    from humtune.search.trial import TrialRun
    from humtune.sounds.synthetic import Sizes, synthesise
    from humtune.storage import Storage
    from humtune.tracking import sync

    data, storage = folder / "data", Storage(folder / "runs")
    sizes = Sizes(sections=2, train_source=9, train_target=2, test_per_cell=2, seconds=0.6)
    synthesise(data, machines=("fan",), sizes=sizes)
    space = check_space(SPACE, where="drill")

    def train(ledger: Ledger, number: int) -> None:
        recipe = Classifier.model_validate({**SPACE["fixed"], "seed": number})  # type: ignore[dict-item]
        named = {"id": trial_id("fan", number), "machine": "fan", "number": number, "origin": "sampler"}
        record = TrialRecord(
            **named, params={"head.mu": 10.0}, config=recipe.model_dump(mode="json"), started=time.time()
        )
        trial = TrialRun(ledger, record, [ledger.bank("fan")], measured=())
        while trial.epoch().state == TrialState.RUNNING:
            pass

    small = prepare(space, name="small", data=data, storage=storage)
    for number in range(2):
        train(small, number)
    make_ensembles(small, exportable=True)
    if "models" in needs:
        export_search(small, folder / "models", product="single")
    for place in ("one", "two"):
        write_submission(small, folder / place, ensembles=place == "two")
    if "mlflow" in needs:
        known = prepare(space, name="known", data=data, storage=storage)
        train(known, 0)
        sync(known)
        train(known, 1)
    tests = sorted((data / "dev_data/fan/test").iterdir())
    (folder / "arriving").mkdir()
    for path in tests[:3]:
        shutil.copy(path, folder / "arriving")
    noise = np.random.default_rng(0).integers(-9000, 9000, 16000 * 12).astype(np.int16)
    soundfile.write(folder / "long.wav", noise, 16000)


@contextmanager
def zenodo() -> Iterator[str]:
    """A server that answers as Zenodo does, in a process of its own: where it is."""
    beside = HERE.parent / "tests/sounds/conftest.py"
    spec = importlib.util.spec_from_file_location("zenodo_for_tests", beside)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = made
    spec.loader.exec_module(made)
    known = made.Zenodo(records=made.dcase_2022())
    with ThreadingHTTPServer(("127.0.0.1", 0), made.handler(known)) as server:
        known.site = f"http://127.0.0.1:{server.server_port}"
        if not (pid := os.fork()):
            server.serve_forever()
        try:
            yield known.site
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def drill_searches(drill: Drill, kills: int, faults: int) -> None:
    """Kill searches, and let them meet every fault, in an order drawn by chance."""
    rng, folder = drill.rng, drill.folder / "searches"
    folder.mkdir()
    kinds = [rng.choice(KILLS) for _ in range(kills)]
    kinds += [kind for kind in Kind if kind not in KILLS for _ in range(faults)]
    rng.shuffle(kinds)
    seed = rng.randrange(1000)
    made = kill_searches(
        folder, kinds, rng=rng, seed=seed, trials=8, epochs=12, pause=8.0, hasty=HASTY, page=drill.page
    )
    found = check(made.ledger(name) for name in made.searches)
    found.compare(made.finished, {name: made.ledger(name) for name in made.searches})
    drill.counts.tried["search"].update({str(kind): count for kind, count in made.kills.items()})
    drill.counts.searches.update({"searches": len(made.searches), "runs": made.runs} | found.counts)
    drill.counts.searches["trials' processes that outlived their driver by a minute"] += made.orphans
    for violation in found.violations:
        drill.lose("search", "", violation)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    known = ("search", *SCENES)
    parser.add_argument("commands", nargs="*", metavar="COMMAND", help=f"of {', '.join(known)}; else all")
    parser.add_argument("--kills", type=int, default=20, help="of each command")
    parser.add_argument("--faults", type=int, default=10, help="of each kind and command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--counts", type=Path, help="add up in this file, for a drill in pieces")
    parser.add_argument("--write", type=Path, help="the page of all counts")
    words = parser.parse_args()
    if unknown := set(words.commands) - set(known):
        parser.error(f"no command {', '.join(sorted(unknown))}; there are: {', '.join(known)}")
    if VARIABLE in os.environ:
        sys.exit(drill_all(words, Path(os.environ[VARIABLE]).parent))
    with tempfile.TemporaryDirectory(prefix="humtune-drill-") as folder:
        environment = {**os.environ, "MLFLOW_TRACKING_URI": "", **build(Path(folder)).environment}
        sys.exit(subprocess.run([sys.executable, *sys.argv], env=environment).returncode)


def drill_all(words: argparse.Namespace, folder: Path) -> int:
    """Drill in the process that has the library of faults; whether anything was lost."""
    chosen = words.commands or ["search", *SCENES]
    scenes = [name for name in chosen if name in SCENES]
    needs = " ".join(SCENES[name].needs for name in scenes)
    started = time.monotonic()
    drill = Drill(folder, Page(folder))
    drill.counts.runs.append(shlex.join(["python", "benchmarks/drill.py", *sys.argv[1:]]))
    if scenes:
        import_all(needs)
        pid = begin(partial(furnish, folder / "here", needs), drill.log)
        if end(pid, PATIENCE):
            raise SystemExit(drill.log.read_text())
        (folder / "here").rename(folder / "template")
        print(f"furnished: {time.monotonic() - started:.0f} s", flush=True)
    with zenodo() as os.environ["HUMTUNE_ZENODO"]:
        for name in chosen:
            began = time.monotonic()
            drill.rng = random.Random(f"{name} {words.seed}")
            try_it = drill_searches if name == "search" else partial(Drill.drill, name=name)
            try_it(drill, kills=words.kills, faults=words.faults)
            seconds = round(time.monotonic() - began)
            print(f"{name}: {dict(drill.counts.tried[name])}, {seconds} s", flush=True)
    if words.counts:
        drill.counts.keep(words.counts)
    if words.write:
        write_page(words.write, drill.counts)
    print(f"{len(drill.counts.lost)} lost")
    return bool(drill.counts.lost)


def import_all(needs: str) -> None:
    """What the commands would import: done once, before they are forked."""
    names = ["matplotlib.pyplot", "humtune.cli.main", "humtune.report.write", "humtune.report.submission"]
    names += ["humtune.search.run", "humtune.export.search", "onnxscript"]
    names += ["mlflow.pyfunc", "humtune.tracking.registry"] if "mlflow" in needs else []
    for name in names:
        importlib.import_module(name)


if __name__ == "__main__":
    main()
