"""The ledger: what was written is read, and what can't be read is told in one sentence."""

import json
import math
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from humtune.detectors.classifier.heads import VariationalHead
from humtune.detectors.classifier.recipe import Classifier
from humtune.detectors.frontends import Spectrogram
from humtune.errors import DamagedScores, HumtuneError, Superseded, TooNew, UsageError
from humtune.ledger import Ledger, searches
from humtune.plan import Asked, Machine, Plan
from humtune.records import Epoch, TrialRecord, TrialState, machine_of, trial_id
from humtune.sounds.table import ClipTable, Role
from humtune.storage import Storage


def make_plan(name: str = "hums", **changes: Any) -> Plan:
    plan = Plan(
        name=name,
        created=1_700_000_000.123456,
        version="0.1.0",
        asked=Asked(
            space={"search": {"head.mu": {"values": [5, 10.0, None, True, "a"]}}},
            data="/recordings",
            trials=3,
        ),
        machines={m: Machine(bank=f"banks/{h}", data_hash=h) for m, h in {"fan": "a", "fan-2": "b"}.items()},
    )
    return plan.asking(**changes)


def make_clips(machine: str, clips: int = 4) -> ClipTable:
    return ClipTable.from_columns(
        machine=machine,
        name=[f"clip_{i}.wav" for i in range(clips)],
        part=["dev"] * clips,
        split=["test"] * clips,
        section=[0] * clips,
        domain=[0, 1] * (clips // 2),
        label=[0, 1] * (clips // 2),
        attributes=["speed=ü"] * clips,
        role=[str(Role.SELECT)] * clips,
    )


def make_record(machine: str = "fan", number: int = 0, **changes: Any) -> TrialRecord:
    values: dict[str, Any] = {
        "id": trial_id(machine, number),
        "machine": machine,
        "number": number,
        "origin": "sampler",
        "params": {
            "head.mu": 5,
            "head.sigma2": 1 / 3,
            "spectrogram": "low",
            "spectrogram.db": True,
            "n": None,
        },
        "config": Classifier(spectrogram=Spectrogram(n_mels=None), head=VariationalHead(sigma2=1 / 3)),
        "started": 1_700_000_000.1,
    }
    return TrialRecord(**{**values, **changes})


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger(Storage(tmp_path), "hums")
    made.create(make_plan(), {m: make_clips(m) for m in ("fan", "fan-2")})
    return made


# --- what can go wrong


def test_an_unknown_search_lists_those_there_are(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    with pytest.raises(UsageError, match=rf"no search named 'hums' in {tmp_path}; there are: none yet"):
        Ledger.open(storage, "hums")
    for name in ("valves", "fans"):
        Ledger(storage, name).create(make_plan(name), {})
    storage.write("banks/abc/clips.json", b"")  # a folder that is no search
    with pytest.raises(UsageError, match=r"there are: fans, valves$"):
        Ledger.open(storage, "hums")
    assert searches(storage) == ["fans", "valves"]


def test_a_name_that_is_taken_is_refused_and_nothing_is_written(ledger: Ledger) -> None:
    with pytest.raises(UsageError, match="there is a search named 'hums' already: humtune resume hums"):
        ledger.create(make_plan(trials=99), {"fan": make_clips("fan", 2), "new": make_clips("new")})
    assert ledger.plan == make_plan()
    assert len(ledger.clips("fan")) == 4
    assert ledger.storage.list("hums/clips") == ["fan-2.json", "fan.json"]


TORN = [b"", b'{"id": "fan-000', b"\xff\xfe\x00", b"[]", b'{"id": "fan-00000"}']


@pytest.mark.parametrize("content", TORN)
def test_a_torn_record_is_a_failed_trial_that_names_its_file(ledger: Ledger, content: bytes) -> None:
    ledger.write(make_record())
    ledger.storage.write("hums/trials/fan-00001/record.json", content)
    whole, torn = ledger.records()
    assert whole == make_record()
    assert (torn.id, torn.machine, torn.number) == ("fan-00001", "fan", 1)
    assert (torn.state, torn.params, torn.readable) == (TrialState.FAILED, {}, False)
    said = torn.reason or ""
    assert said.startswith(f"{ledger.storage.uri}/hums/trials/fan-00001/record.json can't be read: ")
    assert "\n" not in said
    assert ledger.storage.read("hums/trials/fan-00001/record.json") == content  # kept, to be looked at
    assert list(ledger.records("fan-2")) == []


def test_a_distant_record_that_grew_as_it_was_read_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(Storage("mock://host/grown"), "hums")
    ledger.write(make_record())
    whole = Storage.read
    lengths = iter([60, 200, None])
    monkeypatch.setattr(Storage, "read", lambda self, name: whole(self, name)[: next(lengths)])
    assert ledger.find("fan-00000") == make_record()


def test_a_trial_that_ended_stays_so_whatever_arrives_late(ledger: Ledger) -> None:
    running, ended = make_record(), make_record(state=TrialState.COMPLETE, ended=2.0)
    ledger.write(running)
    late = ledger.storage.read("hums/trials/fan-00000/progress.json")
    ledger.write(ended)
    assert ledger.storage.list("hums/trials/fan-00000") == ["record.json"]
    ledger.storage.write("hums/trials/fan-00000/progress.json", late)
    assert list(ledger.records()) == [ended]


def test_a_trial_that_ends_while_it_is_looked_for_is_found(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = make_record(state=TrialState.COMPLETE, ended=2.0)
    ledger.write(make_record())
    read = Storage.read

    def end_meanwhile(storage: Storage, name: str) -> bytes:
        if name.endswith("progress.json"):
            ledger.write(ended)
        return read(storage, name)

    monkeypatch.setattr(Storage, "read", end_meanwhile)
    assert ledger.find("fan-00000") == ended


def test_a_trial_of_an_earlier_search_goes_on_though_its_record_is_under_the_name_of_ended_ones(
    ledger: Ledger,
) -> None:
    begun = make_record()
    ledger.storage.write("hums/trials/fan-00000/record.json", begun.model_dump_json().encode())
    assert ledger.find("fan-00000") == begun
    further = begun.model_copy(update={"epochs": (Epoch(epoch=1, ended=1.0, seconds=1.0, metrics={}),)})
    ledger.write(further)
    assert ledger.find("fan-00000") == further
    ended = further.model_copy(update={"state": TrialState.COMPLETE, "ended": 2.0})
    ledger.write(ended)
    assert ledger.find("fan-00000") == ended


def test_a_torn_record_of_no_trial_is_no_trial(ledger: Ledger) -> None:
    ledger.storage.write("hums/trials/notes/record.json", b"{")
    assert list(ledger.records()) == []


def test_a_later_run_takes_the_right_to_write(ledger: Ledger) -> None:
    ledger.take_lease()
    worker = Ledger(ledger.storage, "hums", lease=ledger.lease)
    worker.write(make_record())
    Ledger(ledger.storage, "hums").take_lease()
    for late in (worker, ledger):
        with pytest.raises(Superseded, match="hums was resumed elsewhere"):
            late.write(make_record(state="failed"))
    assert ledger.read("fan-00000") == make_record()


@pytest.mark.parametrize("content", TORN)
def test_a_torn_plan_is_one_sentence_with_its_file(ledger: Ledger, content: bytes) -> None:
    ledger.storage.write("hums/plan.json", content)
    with pytest.raises(HumtuneError, match=r"hums/plan\.json can't be read: [^\n]+$"):
        Ledger.open(ledger.storage, "hums").plan  # noqa: B018


NEWER = b'{"format": 99, "id": "fan-00001", "unknown": {"to": "us"}}'
TOLD = r"%s is of format 99, written by a newer humtune; update this one$"


def test_a_plan_of_a_newer_humtune_is_told_apart_from_a_torn_one(ledger: Ledger) -> None:
    ledger.storage.write("hums/plan.json", NEWER)
    with pytest.raises(TooNew, match=TOLD % r"hums/plan\.json"):
        Ledger.open(ledger.storage, "hums").plan  # noqa: B018


def test_a_record_of_a_newer_humtune_is_no_failed_trial(ledger: Ledger) -> None:
    """It may be the best one: whatever is told without it is wrong."""
    ledger.write(make_record())
    ledger.storage.write("hums/trials/fan-00001/record.json", NEWER)
    for read in (lambda: list(ledger.records()), lambda: ledger.read("fan-00001")):
        with pytest.raises(TooNew, match=TOLD % r"hums/trials/fan-00001/record\.json"):
            read()


def test_what_is_written_says_its_format_and_without_one_is_of_the_first(ledger: Ledger) -> None:
    ledger.write(make_record())
    name = "hums/trials/fan-00000/progress.json"
    written = json.loads(ledger.storage.read(name))
    assert written.pop("format") == 1
    ledger.storage.write(name, json.dumps(written).encode())
    assert ledger.read("fan-00000") == make_record()


def test_an_unknown_trial_is_told(ledger: Ledger) -> None:
    assert ledger.find("fan-00007") is None
    with pytest.raises(UsageError, match="search 'hums' has no trial 'fan-00007'"):
        ledger.read("fan-00007")


def test_what_is_no_record_is_left_out(ledger: Ledger) -> None:
    """Folders of trials that were killed before their first write, and files of somebody else."""
    ledger.write(make_record())
    ledger.write_scores("fan-00001", {"nll": np.zeros(4)})
    ledger.storage.write("hums/trials/notes.txt", b"look at fan-00000")
    assert [r.id for r in ledger.records()] == ["fan-00000"]


def test_an_unknown_key_in_a_record_is_refused(ledger: Ledger) -> None:
    written = json.loads(make_record().model_dump_json()) | {"loss": 3}
    ledger.storage.write("hums/trials/fan-00000/record.json", json.dumps(written).encode())
    assert "loss Extra inputs are not permitted" in (ledger.read("fan-00000").reason or "")


def test_a_score_vector_never_unpickles(ledger: Ledger, tmp_path: Path) -> None:
    np.save(tmp_path / "evil.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    ledger.storage.write(ledger.layout.score("fan-00000", "nll"), (tmp_path / "evil.npy").read_bytes())
    with pytest.raises(DamagedScores, match=r"fan-00000/scores/nll\.npy is damaged"):
        ledger.scores("fan-00000", "nll")


@pytest.mark.parametrize("content", [b"", b"{", b"PK\x03\x04junk", b"\x93NUMPY\x01\x00", b"\xff\xfe"])
def test_torn_scores_name_their_trial(ledger: Ledger, content: bytes) -> None:
    ledger.storage.write(ledger.layout.score("fan-00000", "nll"), content)
    with pytest.raises(DamagedScores, match=r"fan-00000/scores/nll\.npy is damaged"):
        ledger.scores("fan-00000", "nll")


@pytest.mark.parametrize(
    "changes", [{"state": "dead"}, {"origin": "luck"}, {"epochs": [{"epoch": 0}]}, {"config": [1]}]
)
def test_an_impossible_record_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        make_record(**changes)


# --- what it keeps


def test_a_plan_and_its_clips_come_back(ledger: Ledger) -> None:
    again = Ledger.open(Storage(ledger.storage.uri), "hums")
    assert again.plan == make_plan()
    values = again.plan.asked.space["search"]["head.mu"]["values"]
    assert [type(v) for v in values] == [int, float, type(None), bool, str]
    for machine in ("fan", "fan-2"):
        assert again.clips(machine).to_json() == make_clips(machine).to_json()


def test_a_plan_can_want_more(ledger: Ledger) -> None:
    ledger.write_plan(ledger.plan.asking(trials=10))
    assert Ledger.open(ledger.storage, "hums").plan == make_plan(trials=10)


def test_a_machine_gets_no_more_trials_than_its_space_holds() -> None:
    plan = make_plan(trials=3).model_copy(update={"holds": {"fan": 2}})
    assert [plan.quota(m) for m in plan.machines] == [2, 3]
    assert plan.asking(trials=1).quota("fan") == 1


def test_a_record_comes_back_to_the_last_bit(ledger: Ledger) -> None:
    epochs = [
        Epoch(epoch=1, ended=1_700_000_000.1234567, seconds=0.1 + 0.2, metrics={"loss": 1 / 3}),
        Epoch(epoch=2, ended=1_700_000_001.0, seconds=1e-9, metrics={"loss": math.inf, "omega": 0.7}),
    ]
    record = make_record(
        state=TrialState.PRUNED,
        reason="grew «tired»\nof it",
        ended=1.5,
        epochs=epochs,
        omega={"nll": 0.1 + 0.2},
    )
    ledger.write(make_record())
    ledger.write(record)
    assert ledger.read("fan-00000") == record
    types = {k: type(v) for k, v in ledger.read("fan-00000").params.items()}
    assert types == {k: type(v) for k, v in record.params.items()}


def test_a_metric_that_is_no_number_comes_back(ledger: Ledger) -> None:
    ledger.write(make_record(epochs=[Epoch(epoch=1, ended=1.0, seconds=1.0, metrics={"loss": math.nan})]))
    assert math.isnan(ledger.read("fan-00000").epochs[0].metrics["loss"])


def test_scores_come_back_as_they_were(ledger: Ledger) -> None:
    rng = np.random.default_rng(0)
    cosine, nll = rng.normal(size=4), rng.normal(size=4).astype(np.float32)
    ledger.write_scores("fan-00000", {"cosine": cosine, "nll": nll})
    np.testing.assert_array_equal(ledger.scores("fan-00000", "cosine"), cosine)
    assert ledger.scores("fan-00000", "nll").dtype == np.float64
    np.testing.assert_array_equal(ledger.scores("fan-00000", "nll"), nll.astype(np.float64))


def test_the_best_score_type_is_the_objective() -> None:
    record = make_record(omega={"cosine": 0.6, "nll": 0.7})
    assert (record.best_score, record.objective) == ("nll", 0.7)


def test_records_come_by_machine_and_number(ledger: Ledger) -> None:
    """Also where one machine's name begins like another's, or holds what looks like a trial's number."""
    machines = ("fan", "fan-0", "fan-00001", "fan+", "Fan")
    for number in (10, 2, 0):
        for machine in machines:
            ledger.write(make_record(machine, number))
    found = [(r.machine, r.number) for r in ledger.records()]
    assert found == [(m, n) for m in sorted(machines) for n in (0, 2, 10)]
    for machine in machines:
        assert [(r.machine, r.number) for r in ledger.records(machine)] == [(machine, n) for n in (0, 2, 10)]
    assert list(ledger.records("valve")) == []


@given(st.text(st.characters(exclude_characters="/\0"), min_size=1), st.integers(0, 10**7))
def test_a_trials_name_tells_its_machine(machine: str, number: int) -> None:
    assert machine_of(trial_id(machine, number)) == machine


def test_records_of_a_distant_storage_are_read_several_at_a_time_and_come_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ledger = Ledger(Storage("mock://host/runs"), "hums")
    written = [make_record(machine, number) for machine in ("fan", "fan-2") for number in (0, 1)]
    for record in reversed(written):
        ledger.write(record)
    together = Barrier(2, timeout=30)
    read = Storage.read

    def meet(storage: Storage, name: str) -> bytes:
        if name.endswith("record.json"):
            together.wait()  # of one reader alone it would break
        return read(storage, name)

    monkeypatch.setattr(Storage, "read", meet)
    assert list(ledger.records()) == written
    assert list(ledger.records("fan")) == written[:2]
