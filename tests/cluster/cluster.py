"""A Ray cluster on the hosts of a bed, handled from its desk as a user would, with cluster.local.yaml."""

import re
from collections.abc import Sequence

from bed import CHECKOUT, MLFLOW, S3, Bed, Host, wait_for

FILE = CHECKOUT / "cluster.local.yaml"
BUCKET, ACCESS = "humtune", {"aws_access_key_id": "bed", "aws_secret_access_key": "secret"}
# The hosts share processors with all other tests: threads that wait in loops take them away, and workers that
# step back behind everything else get none.
SHARING = "OMP_WAIT_POLICY=passive RAY_worker_niceness=0"
MINE = {
    r"head_ip: \S+": "head_ip: {head}",
    r"worker_ips: \[.*?\]": "worker_ips: [{workers}]",
    r"ssh_user: \S+": "ssh_user: root",
    r"AWS_ENDPOINT_URL=[^ \"]+": f"AWS_ENDPOINT_URL={S3}",
    r"MLFLOW_TRACKING_URI=[^ \"]+": f"MLFLOW_TRACKING_URI={MLFLOW} {SHARING}",
}


class Cluster:
    """`ray up`, `ray exec` and `ray down` with the hosts' addresses in place of a user's."""

    def __init__(self, bed: Bed, head: str, workers: Sequence[str]) -> None:
        self.bed, self.head = bed, bed.hosts[head]
        self.hosts: list[Host] = [self.head, *(bed.hosts[name] for name in workers)]
        text = FILE.read_text()
        for pattern, value in MINE.items():
            others = ", ".join(host.address for host in self.hosts[1:])
            mine = value.format(head=self.head.address, workers=others)
            text, found = re.subn(pattern, mine, text)
            assert found == 1, f"{pattern} is in {FILE} {found} times"
        bed.desk.write("cluster.yaml", text)
        bed.desk.write(".aws/credentials", "[default]\n" + "".join(f"{k} = {v}\n" for k, v in ACCESS.items()))

    def ray(self, words: str, *, seconds: float = 300.0, check: bool = True) -> str:
        """Run a command of Ray's at the desk, in the checkout; what it printed."""
        way = "cd /mnt/checkout; export PATH=~/venv/bin:$PATH RAY_USAGE_STATS_ENABLED=0"
        return self.bed.desk.run(f"{way}; ray {words}", seconds=seconds, check=check)

    def up(self) -> None:
        """Start it, and wait until all of its hosts have joined."""
        self.ray("get-auth-token --generate > /dev/null")
        self.ray("up --yes --no-config-cache ~/cluster.yaml", seconds=600)
        count = len(self.hosts)
        for host in self.hosts:  # to ask Ray takes seconds of processor time
            wait_for(lambda h=host: h.raylets, f"Ray on {host.name}", seconds=400, every=1)
        wait_for(lambda: self.active == count, f"{count} nodes, see ray status", seconds=400, every=2)

    @property
    def active(self) -> int:
        """The nodes that have joined and are alive."""
        said = self.head.run(". ~/humtune.env; ray status", check=False)
        return sum(map(int, re.findall(r"^ (\d+) local\.cluster\.node$", said, re.MULTILINE)))

    def submit(self, command: str, *, wait: bool) -> str:
        """Submit a command as a job, and wait for its end, good or bad, or not; what the job printed."""
        how = "" if wait else "--no-wait "
        return self.ray(
            f"exec ~/cluster.yaml 'ray job submit {how}-- {command}'", seconds=500, check=not wait
        )

    def down(self) -> None:
        """Stop it, and wait until no host has a process of Ray's."""
        self.ray("down --yes ~/cluster.yaml")
        for host in self.hosts:
            wait_for(lambda h=host: not h.raylets, f"the end of Ray on {host.name}", seconds=180, every=2)
