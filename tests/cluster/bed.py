"""Computers made of namespaces on this one: a bridge between them, sshd in each, no file shared.

An S3 server (moto's) and MLflow stand on the bridge. It needs root, and is gone when the bed is left.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock

CHECKOUT = Path(__file__).parents[2]
NAME = "htbed"  # all namespaces begin so, which is how those of a killed run are found
NETWORK = "10.77.0"
HERE, S3, MLFLOW, DESK = f"{NETWORK}.254", f"http://{NETWORK}.1:9000", f"http://{NETWORK}.1:5000", "desk"
PROGRAMS = ("ip", "ss", "unshare", "nsenter", "ssh", "ssh-keygen", "sshd", "rsync", "hostname", "ps")
MODULES = ("moto", "boto3", "aiohttp_cors")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def why_not() -> str:
    """What this computer lacks for a bed; nothing where it can be made."""
    if os.geteuid():
        return "only root makes computers of namespaces: sudo make test"
    lacking = [program for program in PROGRAMS if not shutil.which(program, path=PATH)]
    lacking += [module for module in MODULES if not find_spec(module)]
    if lacking:
        return (
            f"{', '.join(lacking)} missing: apt-get install openssh-server rsync iproute2, pip install .[dev]"
        )
    probe = "mount -t tmpfs t /mnt && mkdir /mnt/u /mnt/w /mnt/m && mount -t overlay o /mnt/m -o "
    probe += "lowerdir=/usr,upperdir=/mnt/u,workdir=/mnt/w"
    done = subprocess.run(["unshare", "--mount", "--net", "sh", "-c", probe], capture_output=True, text=True)
    return f"no namespaces here: {done.stderr.strip()}" if done.returncode else ""


def sh(*words: str | Path, check: bool = True) -> str:
    """Run a program of this computer; its output."""
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, timeout=60)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(map(str, words))}: {done.stderr.strip()}")
    return done.stdout


def wait_for(
    condition: Callable[[], object], what: str, *, seconds: float = 120.0, every: float = 0.2
) -> None:
    """Look at a condition until it holds; an AssertionError that says what was waited for in vain."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds:g} s for {what}"
        time.sleep(every)


class Host:
    """One computer: network, processes, files and name of its own."""

    def __init__(self, bed: "Bed", name: str, number: int) -> None:
        self.bed, self.name, self.address = bed, name, f"{NETWORK}.{number}"
        self.net, self.cable = f"{NAME}-{name}", f"{NAME}-{number}"

    @property
    def log(self) -> Path:
        """What its first process has printed."""
        return self.bed.log_of(self.name)

    def boot(self) -> None:
        """Plug it in and start it, with nothing on it from before."""
        sh("ip", "netns", "add", self.net)
        ends = f"{self.cable} netns {self.bed.net} type veth peer name eth0 netns {self.net}"
        sh("ip", "link", "add", *ends.split())
        sh(*f"ip -n {self.bed.net} link set {self.cable} master lan up".split())
        for words in (f"addr add {self.address}/24 dev eth0", "link set eth0 up", "link set lo up"):
            sh("ip", "-n", self.net, *words.split())
        sh(*f"ip -n {self.net} route add default via {NETWORK}.1".split())
        apart = ("--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc", "bash")
        files = (Path(__file__).with_name("host.sh"), self.name, sys.prefix, sys.base_prefix, CHECKOUT)
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                ["ip", "netns", "exec", self.net, "unshare", *apart, *files, self.bed.public_key],
                env={"HOME": str(Path.home()), "PATH": PATH},
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        wait_for(self._listens, f"sshd of {self.name}, see {self.log}", seconds=30)

    def _listens(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return ":22 " in sh("ip", "netns", "exec", self.net, "ss", "-ltn")

    @property
    def first_process(self) -> str:
        """Number of its first process, as this computer counts."""
        pid = self.process.pid
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0]

    def run(self, script: str, *, seconds: float = 120.0, check: bool = True) -> str:
        """Run a shell script on it; what it printed, errors as well.

        Into a file: a pipe would be held open by what the script leaves running, such as ssh's master.
        """
        inside = f"nsenter --target {self.first_process} --mount --uts --ipc --net --pid -- env -i".split()
        shell = [f"HOME={Path.home()}", f"PATH={PATH}", "bash", "-c", f"cd; {script}"]
        with tempfile.TemporaryFile("w+", dir=self.bed.folder) as out:
            done = subprocess.run(
                [*inside, *shell], stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=seconds
            )
            out.seek(0)
            said = out.read()
        assert not (check and done.returncode), f"{self.name}: {script}\n{said[-6000:]}"
        return said

    def write(self, name: str, text: str) -> None:
        """Write a file of its home folder, for its owner's eyes."""
        script = f"umask 077; mkdir -p $(dirname {name}); cat > {name} <<'END'\n{text.rstrip()}\nEND"
        self.run(script)

    @property
    def raylets(self) -> list[str]:
        """What runs there of Ray's own processes."""
        return re.findall(r"\S+/(?:raylet|gcs_server) ", self.run("ps axww -o args", check=False))

    def cut_off(self) -> None:
        """Pull its cable."""
        sh(*f"ip -n {self.bed.net} link set {self.cable} down".split())

    def plug_in(self) -> None:
        """Put its cable back."""
        sh(*f"ip -n {self.bed.net} link set {self.cable} up".split())

    def kill(self) -> None:
        """Pull its plug: every process is gone, and every file."""
        self.process.kill()
        self.process.wait()
        remove(self.net)


class Bed:
    """A desk, from which a cluster is started, and the hosts it is made of; one bed at a time."""

    net = f"{NAME}-lan"

    def __init__(self, *hosts: str) -> None:
        self.desk = Host(self, DESK, 9)
        self.hosts = {name: Host(self, name, 11 + i) for i, name in enumerate(hosts)}

    def __enter__(self) -> Self:
        with ExitStack() as made:
            made.enter_context(FileLock(Path(tempfile.gettempdir()) / f"{NAME}.lock", timeout=900))
            clear()
            made.callback(clear)
            self.folder = Path(tempfile.mkdtemp(prefix=f"{NAME}_"))
            self._lay_cables()
            self._serve("s3", "moto.server", at=S3)
            store = ("--backend-store-uri", "sqlite:///mlflow.db", "--workers", "1")
            self._serve("mlflow", "mlflow", "server", *store, at=MLFLOW)
            key = self.folder / "key"
            sh("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
            self.public_key = key.with_suffix(".pub").read_text().strip()
            for host in (self.desk, *self.hosts.values()):
                host.boot()
            self._wait_for("s3", at=S3)
            self._wait_for("mlflow", at=MLFLOW)
            self.desk.write(".ssh/id_ed25519", key.read_text())
            self._left = made.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.close()

    def _lay_cables(self) -> None:
        """The bridge, with an end of a cable here, by which the tests look into the storage."""
        sh("ip", "netns", "add", self.net)
        for words in (
            "link add lan type bridge",
            f"addr add {NETWORK}.1/24 dev lan",
            "link set lan up",
            "link set lo up",
        ):
            sh("ip", "-n", self.net, *words.split())
        sh(*f"ip link add {NAME} type veth peer name {NAME}-here netns {self.net}".split())
        sh(*f"ip -n {self.net} link set {NAME}-here master lan up".split())
        sh(*f"ip addr add {HERE}/24 dev {NAME}".split())
        sh("ip", "link", "set", NAME, "up")

    def _serve(self, name: str, *words: str, at: str) -> None:
        """Start a server of Python's at an address of the bridge."""
        host, port = at.removeprefix("http://").split(":")
        program = [sys.executable, "-m", *words, "--host", host, "--port", port]
        with self.log_of(name).open("w") as log:
            inside = ("ip", "netns", "exec", self.net)
            idle = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
            subprocess.Popen([*inside, *program], cwd=self.folder, env=idle, stdout=log, stderr=log)

    def _wait_for(self, name: str, *, at: str) -> None:
        ours = ("ip", "netns", "exec", self.net, "ss", "-ltn")
        there = at.removeprefix("http://")
        wait_for(lambda: f"{there} " in sh(*ours), f"{name}, see {self.log_of(name)}", every=0.5)

    def log_of(self, name: str) -> Path:
        """What a host or server has printed."""
        return self.folder / f"{name}.log"


def clear() -> None:
    """Remove every bed, also one whose tests were killed: its namespaces, all that runs there, its folder."""
    for line in sh("ip", "netns", "list").splitlines():
        if line.startswith(f"{NAME}-"):
            remove(line.split()[0])
    for folder in Path(tempfile.gettempdir()).glob(f"{NAME}_*"):
        shutil.rmtree(folder, ignore_errors=True)


def remove(net: str) -> None:
    """End what runs in a network namespace, and give up its name."""

    def is_empty() -> bool:
        pids = sh("ip", "netns", "pids", net, check=False).split()
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(int(pid), 9)
        return not pids

    wait_for(is_empty, f"the end of {net}", seconds=30)
    sh("ip", "netns", "del", net)
