"""Every way in which a trial can fail, in one search on Ray: each is one failed trial with its reason."""

import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from humtune.ledger import Ledger
from humtune.records import TrialState
from humtune.sounds.synthetic import Sizes, synthesise
from humtune.storage import Storage

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

SPACE = {
    "trials": 8,
    "sampler": "random",
    "fixed": {"family": "noop", "steps": 2},
    "search": {"blur": {"low": 0.0, "high": 3.0}},
}
LIMIT = 8 / 3600  # hours; a trial's two epochs take a fraction of it


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, ray_here: None) -> Ledger:
    """A search in which every trial but the last one has its own way to fail."""
    from humtune.errors import HumtuneError
    from humtune.search.actor import DetectorTrial
    from humtune.search.run import Resources, prepare, tuner
    from humtune.search.space import read_space
    from humtune.search.studies import Studies
    from humtune.search.trial import start_trial

    def begin(config: dict[str, Any]) -> Any:
        run = start_trial(config)
        match run.record.number:
            case 0:
                run.fit.step = lambda: time.sleep(600)
            case 1:
                run.fit.step = lambda: os.kill(os.getpid(), signal.SIGKILL)
            case 2:
                raise FileNotFoundError(2, "No such file or directory", "/gone")
            case 3:
                raise MemoryError("4 GB")
            case 4:
                run.ledger.storage.write = full_disk
            case 5:
                raise HumtuneError("this bank of clips is torn")
            case 6:
                bytearray(1 << 60)
        return run

    def full_disk(name: str, data: bytes) -> None:
        raise OSError(28, "No space left on device", name)

    class Failing(DetectorTrial):
        start = staticmethod(begin)

    folder = tmp_path_factory.mktemp("failing")
    sizes = Sizes(sections=2, train_source=8, train_target=2, test_per_cell=2, seconds=1.0)
    synthesise(folder / "data", machines=("fan",), sizes=sizes)
    (folder / "space.yaml").write_text(yaml.safe_dump(SPACE))
    _, space = read_space(str(folder / "space.yaml"))
    limits = Resources(hours_per_trial=LIMIT)
    ledger = prepare(
        space, name="f", data=folder / "data", storage=Storage(folder / "runs"), resources=limits
    )
    ledger.take_lease()
    with tempfile.TemporaryDirectory() as place:
        studies = Studies(ledger, space)
        tuner(studies, ledger.plan.asked.resources, slots=2, folder=place, trial=Failing).fit()
    return ledger


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (0, f"epoch 1 was not done when the trial's {LIMIT:g} h were over"),
        (1, "its process died 3 times: it crashed, or was killed, as computers do that run out of memory"),
        (2, "FileNotFoundError: [Errno 2] No such file or directory: '/gone'"),
        (3, "it ran out of memory: 4 GB"),
        (4, "No space left on device: 'f/trials/fan-00004/holder'"),
        (5, "this bank of clips is torn"),
        (6, "it ran out of memory"),
    ],
)
def test_each_is_one_failed_trial_with_its_reason(searched: Ledger, number: int, reason: str) -> None:
    record = searched.read(f"fan-{number:05d}")
    assert record.state == TrialState.FAILED
    assert reason in (record.reason or "")


def test_the_rest_of_the_search_went_on(searched: Ledger) -> None:
    records = list(searched.records())
    assert [r.number for r in records] == list(range(8))
    assert records[7].state == TrialState.COMPLETE
    assert not list(Path(searched.storage.uri).glob("f/trials/*/checkpoint.pt"))
