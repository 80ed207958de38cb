"""The detectors of a search are brought to more recordings, as far as each kind can without training."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from loop import search
from searches import Bench

from humtune.detectors.detector import load_tensors
from humtune.detectors.recipe import recipe_of
from humtune.errors import UsageError
from humtune.ledger import Ledger
from humtune.records import Epoch, TrialRecord, TrialState
from humtune.search import continued as going_on
from humtune.search.continued import Intake, bring, continued
from humtune.search.run import prepare
from humtune.search.space import check_space
from humtune.sounds import probes
from humtune.sounds.added import Given, grow
from humtune.sounds.bank import ClipBank
from humtune.sounds.importing import import_folder
from humtune.sounds.loose import find_loose
from humtune.sounds.table import ANOMALY, NORMAL, Role
from humtune.storage import Storage

PRESETS = {
    "plain": {"family": "gaussian_mixture", "n_fft": 512, "n_mels": 8, "components": 1},
    "rebuilt": {
        "family": "autoencoder",
        "spectrogram": {"n_fft": 512, "chunk_frames": 16, "n_mels": 8},
        "frames": 3,
        "epochs": 2,
        "batch_size": 16,
        "chunks_per_clip": 1,
    },
}
PRESETS["alone"] = PRESETS["rebuilt"] | {"scores": ["own"]}
PLAIN, REBUILT, ALONE = (f"pump-{i:05d}" for i in range(3))


@pytest.fixture(autouse=True)
def _few_probes(monkeypatch: pytest.MonkeyPatch, trials_here: None) -> None:
    monkeypatch.setattr(probes, "PER_KIND", 6)
    monkeypatch.setattr(going_on, "Mirror", lambda _: nullcontext())


def record(folder: Path, *seeds: int) -> Path:
    """Noise of two windows a file."""
    folder.mkdir(exist_ok=True)
    for seed in seeds:
        noise = 0.1 * np.random.default_rng(seed).standard_normal(64_000)
        soundfile.write(folder / f"take {seed}.wav", noise, 16_000)
    return folder


@pytest.fixture
def earlier(tmp_path: Path) -> Ledger:
    """A search of a folder of recordings, whose trials ran."""
    import_folder(record(tmp_path / "pump", *range(8)), tmp_path / "data", window=2.0)
    space = check_space(
        {"sampler": "grid", "fixed": {"scores": ["own", "knn"]}, "search": {"family": {"presets": PRESETS}}},
        where="here",
    )
    ledger = prepare(
        space, name="pumps", data=tmp_path / "data", storage=Storage(tmp_path / "runs"), held_out=0.25
    )
    search(ledger)
    return ledger


def grown(earlier: Ledger, folder: Path, *, given: Given = Given.NEW) -> ClipBank:
    loose = find_loose(folder, ANOMALY if given == Given.BAD else NORMAL)
    return grow(earlier.bank("pump"), {given: loose}, earlier.storage, held_out=0.25, window=2.0).bank


def tensors(ledger: Ledger, name: str) -> dict[str, Any]:
    return load_tensors(ledger.storage.read(name), what="file")


def rows(ledger: Ledger, trial: str) -> int:
    """Reference rows that a trial's detector compares with."""
    return len(tensors(ledger, ledger.layout.reference(trial))["clip"])


def state(ledger: Ledger) -> dict[str, TrialRecord]:
    return {record.id: record for record in ledger.records()}


def test_each_kind_takes_in_what_it_can(earlier: Ledger, tmp_path: Path) -> None:
    bank = grown(earlier, record(tmp_path / "new", 20, 21, 22, 23))
    ledger = continued(earlier, bank)
    before = state(earlier)
    assert bring(earlier, ledger) == {Intake.WHOLE: 1, Intake.COMPARED: 1, Intake.SCALE: 1}
    assert state(earlier) == before
    after = state(ledger)
    assert {r.state for r in after.values()} == {TrialState.COMPLETE}
    assert [(r.params, r.config, r.seed) for r in after.values()] == [
        (r.params, r.config, r.seed) for r in before.values()
    ]
    clips, table = ledger.clips("pump"), bank.table
    assert len(table.having(Role.TRAIN)) > len(earlier.bank("pump").table.having(Role.TRAIN))
    for name, found in after.items():
        for score_type in found.pseudo:
            assert np.isfinite(ledger.scores(name, score_type, clips=len(clips))).all()
        assert found.epochs[-1].metrics["pseudo"] == max(found.pseudo.values())
        assert found.data_hash == bank.hash

    anew = recipe_of(after[PLAIN].config).start(bank).run()
    expected = anew.score(anew.encode(bank, table.having(Role.HELD_OUT)))["own"]
    held_out = clips.having(Role.HELD_OUT)
    assert np.array_equal(ledger.scores(PLAIN, "own")[held_out], expected)
    for trial in (REBUILT, ALONE):  # the networks are the same
        old, new = (tensors(of, of.layout.detector(trial))["weights"] for of in (earlier, ledger))
        assert old.keys() == new.keys()
        assert all(torch.equal(old[name], new[name]) for name in old)
    added = len(table.having(Role.TRAIN)) / len(earlier.bank("pump").table.having(Role.TRAIN))
    assert rows(ledger, REBUILT) == rows(earlier, REBUILT) * added
    there = np.isin(clips.name, earlier.clips("pump").name)
    was = np.isin(earlier.clips("pump").name, clips.name)
    old_own = earlier.scores(REBUILT, "own")[was & (earlier.clips("pump").role == "held_out")]
    assert np.allclose(ledger.scores(REBUILT, "own")[there & (clips.role == "held_out")], old_own)
    old_knn = earlier.scores(REBUILT, "knn")[was & (earlier.clips("pump").role == "held_out")]
    new_knn = ledger.scores(REBUILT, "knn")[there & (clips.role == "held_out")]
    assert not np.allclose(new_knn, old_knn)


def test_broken_off_it_goes_on_and_again_does_nothing(
    earlier: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = grown(earlier, record(tmp_path / "new", 20, 21))
    ledger = continued(earlier, bank)
    with monkeypatch.context() as patch:
        patch.setattr(going_on, "_detector", broken_off_at(REBUILT))
        with pytest.raises(KeyboardInterrupt):
            bring(earlier, ledger)
    first = state(ledger)
    assert list(first) == [PLAIN]
    same = continued(earlier, bank)
    assert same.name == ledger.name
    bring(earlier, same)
    whole = state(ledger)
    assert whole[PLAIN] == first[PLAIN]
    assert list(whole) == [PLAIN, REBUILT, ALONE]
    bring(earlier, ledger)
    assert state(ledger) == whole


def broken_off_at(trial: str, error: BaseException | None = None) -> Callable[..., Any]:
    made = going_on._detector

    def make(earlier: Ledger, record: TrialRecord, *rest: Any) -> Any:
        if record.id == trial:
            raise error or KeyboardInterrupt
        return made(earlier, record, *rest)

    return make


def test_bad_ones_make_omega_judge(earlier: Ledger, tmp_path: Path) -> None:
    assert earlier.plan.machines["pump"].judged_by == "pseudo"
    ledger = continued(earlier, grown(earlier, record(tmp_path / "bad", 30, 31), given=Given.BAD))
    assert ledger.plan.machines["pump"].judged_by == "omega"
    bring(earlier, ledger)
    assert all(r.judged_by == "omega" and 0 <= r.objective <= 1 for r in ledger.records())


def test_a_detector_whose_weights_are_gone_costs_no_other(earlier: Ledger, tmp_path: Path) -> None:
    earlier.storage.delete(earlier.layout.detector(ALONE))
    ledger = continued(earlier, grown(earlier, record(tmp_path / "new", 20)))
    assert bring(earlier, ledger) == {Intake.WHOLE: 1, Intake.COMPARED: 1}
    gone = ledger.read(ALONE)
    assert gone.state == TrialState.FAILED
    assert "can't be brought from pumps" in str(gone.reason)
    assert "detector.pt is missing" in str(gone.reason)


@pytest.mark.parametrize("error", [ValueError("too few rows"), KeyError("rows")])
def test_a_detector_that_the_recordings_break_costs_no_other(
    earlier: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(going_on, "_detector", broken_off_at(ALONE, error))
    ledger = continued(earlier, grown(earlier, record(tmp_path / "new", 20)))
    assert bring(earlier, ledger) == {Intake.WHOLE: 1, Intake.COMPARED: 1}
    broken = ledger.read(ALONE)
    assert broken.state == TrialState.FAILED
    assert broken.reason == f"can't be brought from pumps: {type(error).__name__}: {error}"


def test_a_storage_that_fails_ends_it_and_blames_no_detector(
    earlier: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(going_on, "_detector", broken_off_at(ALONE, OSError("no space left")))
    ledger = continued(earlier, grown(earlier, record(tmp_path / "new", 20)))
    with pytest.raises(OSError, match="no space left"):
        bring(earlier, ledger)
    assert ALONE not in {r.id for r in ledger.records() if r.state != TrialState.RUNNING}


def test_what_was_stopped_early_is_held_against_no_other_figure(earlier: Ledger, tmp_path: Path) -> None:
    step = Epoch(epoch=1, ended=1.7e9, seconds=1.0, metrics={"pseudo": 0.9, "loss": 2.0})
    for trial, over in ((REBUILT, TrialState.PRUNED), (ALONE, TrialState.FAILED)):
        earlier.write(earlier.read(trial).model_copy(update={"state": over, "epochs": (step,)}))
    bank = grown(earlier, record(tmp_path / "bad", 30, 31), given=Given.BAD)
    ledger = continued(earlier, bank)
    bring(earlier, ledger)
    for trial in (REBUILT, ALONE):
        moved = ledger.read(trial)
        assert moved.state == earlier.read(trial).state
        assert (moved.judged_by, moved.data_hash, moved.judged) == ("omega", bank.hash, {})
        assert moved.pseudo == {}
        assert [e.metrics for e in moved.epochs] == [{"loss": 2.0}]


def test_what_had_not_ended_runs_with_all_recordings(earlier: Ledger, tmp_path: Path) -> None:
    earlier.storage.delete(earlier.layout.record(ALONE))  # as if it had not begun
    ledger = continued(earlier, grown(earlier, record(tmp_path / "new", 20)))
    assert bring(earlier, ledger).total() == 2
    search(ledger)
    found = state(ledger)
    assert {r.state for r in found.values()} == {TrialState.COMPLETE}
    assert sorted(str(r.params["family"]) for r in found.values()) == sorted(PRESETS)
    assert found[ALONE].data_hash == ledger.plan.machines["pump"].data_hash


def test_of_several_machines_nobody_knows_which(tmp_path: Path) -> None:
    fans = Bench(Storage(tmp_path)).search()
    with pytest.raises(UsageError, match="search 'fans' has the machines fan, valve"):
        going_on.only_machine(fans)
