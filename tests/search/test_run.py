"""How many trials run at a time, by what the cluster has now."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from humtune.errors import HumtuneError, UsageError
from humtune.plan import Plan, Resources
from humtune.records import TrialState
from humtune.search.run import free_unless_begun, prepare, slots_of
from humtune.search.space import check_space
from humtune.sounds.synthetic import Sizes, synthesise
from humtune.storage import Storage

SPACE = {"trials": 1, "fixed": {"spectrogram": {"chunk_frames": 64}}, "search": {"head.mu": [5, 10]}}


def share(cpus: float, gpus: float = 0.0) -> Resources:
    return Resources(cpus=cpus, gpus=gpus)


@pytest.mark.parametrize(
    ("cluster", "wanted", "said"),
    [
        (
            {"CPU": 2.0},
            share(4),
            r"a trial wants 4 CPU, the cluster has 2; where it starts computers .* --slots",
        ),
        (
            {},
            share(1, gpus=0.5),
            r"a trial wants 1 CPU, the cluster has 0; .* say with --slots how many trials",
        ),
        ({"CPU": 4.0}, share(1, gpus=0.5), r"a trial wants 0.5 GPU, the cluster has 0;"),
    ],
)
def test_a_trial_that_fits_nowhere_is_told(cluster: dict[str, float], wanted: Resources, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        slots_of(cluster, wanted)


def test_as_many_as_fit() -> None:
    assert slots_of({"CPU": 7.0}, share(2)) == 3
    assert slots_of({"CPU": 16.0, "GPU": 2.0}, share(1, gpus=0.5)) == 4


def test_the_channel_of_a_search_is_that_of_its_clips_its_probes_and_its_plan(tmp_path: Path) -> None:
    data = tmp_path / "data"
    sizes = Sizes(sections=2, train_source=3, train_target=1, test_per_cell=1, seconds=1.5)
    synthesise(data, machines=["fan", "valve"], sizes=sizes)
    storage, space = Storage(tmp_path / "runs"), check_space(SPACE, where="here")

    def prepared(name: str, channel: int | None = None) -> Plan:
        return prepare(space, name=name, data=data, storage=storage, machines=["fan"], channel=channel).plan

    mono = prepared("mono")
    for path in data.rglob("*.wav"):
        samples, rate = soundfile.read(path, dtype="int16")
        soundfile.write(path, np.stack([-samples // 2, samples], axis=1), rate)
    second, mixed = prepared("second", 2), prepared("mixed")
    assert [made.asked.channel for made in (mono, second, mixed)] == [None, 2, None]
    assert second.machines == mono.machines
    assert mixed.machines["fan"].bank != mono.machines["fan"].bank
    assert mixed.machines["fan"].probes != mono.machines["fan"].probes


def test_a_plan_without_a_channel_is_of_the_mix(tmp_path: Path) -> None:
    values = {"name": "old", "space": {}, "data": "d", "machines": ["fan"], "trials": 1, "created": 1e9}
    assert Plan.model_validate(values | {"banks": {}, "data_hash": {}, "version": "0"}).asked.channel is None


def test_this_computer_has_no_others_whatever_is_wanted() -> None:
    assert slots_of({"CPU": 2.0}, share(1, gpus=1), wanted=3) == 3  # a cluster may start computers
    with pytest.raises(
        UsageError, match=r"a trial wants 1 GPU, this computer has 0; ask for less with --gpus"
    ):
        slots_of({"CPU": 2.0}, share(1, gpus=1), wanted=3, here=True)
    assert slots_of({"CPU": 2.0}, share(1), wanted=3, here=True) == 3


@pytest.mark.parametrize("error", [UsageError, HumtuneError, OSError, KeyboardInterrupt])
def test_a_search_that_never_began_keeps_no_name_and_nothing_of_others(bench: Any, error: type) -> None:
    ledger = bench().ledger
    ledger.take_lease()
    ledger.storage.write("hums/clips/fan.json", b"")
    ledger.storage.write("hums/clips/theirs.wav", b"")
    with pytest.raises(error), free_unless_begun(ledger):
        raise error
    assert not ledger.storage.exists("hums/plan.json")
    assert ledger.storage.list("hums") == ["clips"]
    assert ledger.storage.list("hums/clips") == ["theirs.wav"]


def test_a_search_that_has_begun_stays(bench: Any) -> None:
    search = bench()
    studies = search.studies()
    search.end(studies, studies.ask(), TrialState.FAILED, "torn")
    with pytest.raises(HumtuneError), free_unless_begun(search.ledger):
        raise HumtuneError
    assert search.ledger.storage.exists("hums/plan.json")
