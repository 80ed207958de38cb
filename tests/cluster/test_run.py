"""A search on a real cluster, from `ray up` to `ray down`, whose computers are lost one after the other.

One search goes through all tests, in their order: what a search costs here is Ray's start on three computers.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from bed import CHECKOUT, MLFLOW, Bed, wait_for
from cluster import Cluster

from humtune.ledger import Ledger
from humtune.records import TrialRecord, TrialState
from humtune.storage import Storage

pytestmark = [
    pytest.mark.integration,
    pytest.mark.cluster,
    pytest.mark.timeout(1200),
]

TRIALS, MORE, EPOCHS = 6, 8, 25
SPACE = {
    "trials": TRIALS,
    "sampler": "random",
    "fixed": {
        "spectrogram": {"n_fft": 256, "chunk_frames": 32, "n_mels": 16, "db": True},
        "backbone": {"width": 0.125},
        "training": {"epochs": EPOCHS, "batch_size": 16, "chunks_per_clip": 1},
    },
    "search": {"head.mu": {"low": 5.0, "high": 10.0}},
}
SMALL = "--sections 2 --clips 8 --target-clips 2 --test-per-cell 3 --seconds 1"
SEARCH = "humtune search space.yaml --data recordings --address auto --cpus 2 --checkpoint-seconds 0"


def test_no_host_has_anything_of_another(cluster: Cluster) -> None:
    """Each has the project as it was sent there, and under the same names files of its own."""
    for host in cluster.hosts:
        where = host.run("~/venv/bin/python -c 'import humtune; print(humtune.__file__)'")
        assert where.startswith(f"{Path.home()}/venv/lib/")
        for folder in ("~", "~/venv", "/tmp", "/dev/shm", sys.prefix):
            host.run(f"echo {host.name} >> {folder}/mine")
    for host in cluster.hosts:
        mine = host.run(f"cat ~/mine ~/venv/mine /tmp/mine /dev/shm/mine; ls {CHECKOUT} 2> /dev/null | wc -l")
        assert mine.split() == [host.name] * 5 + ["0"]  # the environment is one, under both its names


@pytest.fixture(scope="module")
def recordings(cluster: Cluster) -> None:
    """Recordings and a space on the head, and nowhere else."""
    cluster.head.write("space.yaml", yaml.safe_dump(SPACE))
    cluster.head.run(f". ~/humtune.env; humtune data synth recordings --machines fan {SMALL}")


def test_a_storage_that_nodes_have_for_themselves_is_refused(cluster: Cluster, recordings: None) -> None:
    said = cluster.submit(f"{SEARCH} --storage runs --name apart", wait=True)
    assert re.search(r"humtune: beta, gamma can.t read the storage /\S+/runs \(.*No such file", said), said


def finished(records: Sequence[TrialRecord]) -> dict[str, TrialRecord]:
    return {r.id: r for r in records if r.state != TrialState.RUNNING}


def under_way(records: Sequence[TrialRecord], host: str) -> list[str]:
    """Trials of a host that have a checkpoint and are not about to end."""
    return [
        r.id for r in records if r.host == host and r.id not in finished(records) and 2 <= len(r.epochs) < 20
    ]


def check_whole(records: Sequence[TrialRecord], count: int) -> None:
    """Every trial is there once, ran all of its epochs once, and has its figures.

    A number may be missing: that of a trial which had not begun when its search was killed.
    """
    assert len({r.number for r in records}) == len(records) == count
    for record in records:
        assert (record.id, record.state, record.reason) == (record.id, TrialState.COMPLETE, None)
        assert [e.epoch for e in record.epochs] == list(range(1, EPOCHS + 1))
        assert record.omega


@pytest.fixture(scope="module")
def ledger(cluster: Cluster, storage: Storage, recordings: None) -> Ledger:
    """A search that was submitted as a job, and is at work on all hosts, in the middle of a trial on two."""
    said = cluster.submit(f"{SEARCH} --name long", wait=False)
    assert "submitted successfully" in said, said
    made = Ledger(storage, "long")

    def in_the_middle() -> bool:
        records = list(made.records())
        begun = {r.host for r in records} == {h.name for h in cluster.hosts}
        return begun and all(under_way(records, h.name) for h in cluster.hosts[1:])

    wait_for(in_the_middle, "trials under way on all hosts", seconds=500)
    return made


def test_trials_run_on_every_host(ledger: Ledger, cluster: Cluster) -> None:
    assert {r.host for r in ledger.records()} == {host.name for host in cluster.hosts}


def test_each_host_fetches_a_bank_once(ledger: Ledger, cluster: Cluster, bed: Bed) -> None:
    log = bed.log_of("s3").read_text()
    folders = {found for m in ledger.plan.machines.values() for found in (m.bank, m.probes) if found}
    assert len(folders) == 2
    for folder in folders:
        opened = re.findall(rf"(\S+) - - .*HEAD \S+/{folder}/samples.npy", log)
        assert sorted(opened) == sorted(h.address for h in cluster.hosts[1:])  # the head has made them


def test_a_search_outlives_two_of_its_three_computers(ledger: Ledger, cluster: Cluster) -> None:
    head, beta, gamma = cluster.hosts
    beta.cut_off()
    gamma.kill()
    before = list(ledger.records())
    lost = {r.id: r for r in before if r.host in {"beta", "gamma"} and r.state == TrialState.RUNNING}
    assert len(lost) == 2
    wait_for(
        lambda: len(finished(list(ledger.records()))) == TRIALS, "the end of the search", seconds=800, every=1
    )

    after = list(ledger.records())
    check_whole(after, TRIALS)
    assert finished(before).items() <= finished(after).items()
    for record in after:
        if record.id in lost:
            assert record.host == head.name
            assert record.continued
            assert record.continued[-1] >= len(lost[record.id].epochs) - 1
    command = "humtune search space.yaml"
    wait_for(lambda: command not in head.run("ps axww -o args"), "the end of the command", every=1)
    wait_for(lambda: "SUCCEEDED" in jobs(cluster), "the end of the job", every=2)

    beta.plug_in()  # what is left there has nothing to say any more
    wait_for(lambda: not beta.raylets, "the end of Ray on the computer that was cut off", every=2)
    assert list(ledger.records()) == after


def jobs(cluster: Cluster) -> str:
    return cluster.head.run(". ~/humtune.env; ray job list")


@pytest.fixture(scope="module")
def before(ledger: Ledger, cluster: Cluster) -> list[TrialRecord]:
    """The search asked for more trials, with its head gone in the middle of one."""
    cluster.submit(f"humtune resume long --trials {MORE} --address auto", wait=False)

    def in_the_middle() -> list[str]:
        return under_way(list(ledger.records()), cluster.head.name)

    wait_for(in_the_middle, "a trial under way on the head", seconds=300)
    cluster.head.kill()
    return list(ledger.records())


@pytest.fixture(scope="module")
def anew(bed: Bed, before: list[TrialRecord]) -> Cluster:
    """Another computer leads, which has neither the recordings nor anything else but the storage."""
    bed.hosts["gamma"].boot()
    made = Cluster(bed, "gamma", ["beta"])
    made.up()
    return made


def test_a_search_outlives_its_head(ledger: Ledger, anew: Cluster, before: list[TrialRecord]) -> None:
    said = anew.submit("humtune resume long --address auto", wait=True)
    assert "succeeded" in said, said
    after = list(ledger.records())
    check_whole(after, MORE)
    assert finished(before).items() <= finished(after).items()
    [running] = [r.id for r in before if r.state == TrialState.RUNNING]
    assert ledger.read(running).host in {"beta", "gamma"}
    assert ledger.read(running).continued


def test_its_results_are_there(ledger: Ledger, anew: Cluster) -> None:
    from mlflow import MlflowClient

    assert "long" in anew.head.run(". ~/humtune.env; humtune runs; humtune report long")
    client = MlflowClient(MLFLOW)
    experiment = client.get_experiment_by_name("long")
    assert experiment is not None
    runs = [r.data for r in client.search_runs([experiment.experiment_id])]
    told = {r.tags["humtune.trial"]: r.metrics["omega"] for r in runs if "humtune.trial" in r.tags}
    assert told == {r.id: pytest.approx(r.objective) for r in ledger.records()}


def test_in_the_end_nothing_of_it_runs(anew: Cluster) -> None:
    anew.down()
