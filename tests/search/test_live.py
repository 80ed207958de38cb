"""What a person sees while a search runs."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console
from waiting import wait_for
from words import terms_in

from humtune.records import TrialState
from humtune.search.live import LiveTable, PlainTable, duration, outcome, settings
from humtune.search.studies import Studies

Make = Callable[..., Any]


def lines(studies: Studies, *, slots: int = 2) -> list[str]:
    """The table as text."""
    console = Console(file=io.StringIO(), width=120, markup=False)
    console.print(LiveTable(studies, slots=slots, console=console).table())
    return [" ".join(line.split()) for line in console.file.getvalue().splitlines()]


def log(*, terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), width=60, force_terminal=terminal, markup=False)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (42.4, "42 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.7, "1 h 00 min"),
        (7800, "2 h 10 min"),
        (100 * 3600, "100 h 00 min"),
    ],
)
def test_durations_as_a_person_says_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_the_table_before_anything_ran(bench: Make) -> None:
    title, *_ = shown = lines(bench(trials=3).studies())
    assert title == "hums: 0 s gone, starting"
    assert any("fan │ 0/3 │ 0 │ 0 │ 0 │ – │ │" in line for line in shown)


def test_the_table_counts_every_state_and_names_the_best(bench: Make) -> None:
    search = bench(trials=6, first=[{"head.mu": 10, "head.sigma2": 0.125}])
    studies = search.studies()
    trials = [studies.ask() for _ in range(10)]
    fan = [r for r in trials if r.machine == "fan"]
    search.play(studies, fan[0], 0.7654)
    search.end(studies, fan[1], TrialState.PRUNED, "stopped")
    search.end(studies, fan[2], TrialState.FAILED, "torn clip")
    shown = lines(studies)
    assert any("fan │ 3/6 │ 2 │ 1 │ 1 │ Ω 76.5 │ mu=10 sigma2=0.125 nll" in line for line in shown)
    assert any("fan-2 │ 0/6 │ 5 │ 0 │ 0 │ –" in line for line in shown)
    # 8 epochs of 2 s ran; 12 trials of 8 epochs, less the three that ended, 2 at a time
    assert shown[0] == "hums: 0 s gone, 1 min 12 s left"


def test_what_confirms_is_counted_apart(bench: Make) -> None:
    search = bench(machines=("fan",), trials=2)
    search.ledger.write_plan(search.ledger.plan.asking(confirm=1, confirm_seeds=2))
    studies = search.studies()
    console = log()
    with LiveTable(studies, slots=1, console=console):
        search.play(studies, studies.ask(), 0.7)
        assert any("fan │ 1/2, 0/2 confirm │" in line for line in lines(studies))
        search.play(studies, studies.ask(), 0.6)
        search.play(studies, studies.ask(), 0.65)
        assert any("fan │ 2/2, 1/2 confirm │ 0 │ 0 │ 0 │ Ω 65.0" in line for line in lines(studies))
    said = [line.split(" Ω")[0] for line in console.file.getvalue().splitlines()]
    assert said == ["fan-00000 [1/2]", "fan-00001 [2/2]", "fan-00002 [confirms 1/2]"]


def test_the_table_at_the_end(bench: Make) -> None:
    search = bench(machines=("fan",), trials=1)
    studies = search.studies()
    search.play(studies, studies.ask(), 0.7)
    assert lines(studies)[0] == "hums: 0 s gone, 0 s left"


def test_what_takes_longer_than_it_should_is_no_second_from_its_end(
    bench: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = bench(machines=("fan",), trials=1)
    studies = search.studies()
    monkeypatch.setattr(studies, "seconds_left", lambda slots: 0.0)
    record = studies.ask()
    assert lines(studies)[0] == "hums: 0 s gone, more than expected"
    search.play(studies, record, 0.7)
    assert lines(studies)[0] == "hums: 0 s gone, 0 s left"


def test_without_a_terminal_each_trial_that_ends_is_a_line(bench: Make) -> None:
    search = bench(machines=("fan",), trials=4, first=[{"head.mu": 10, "head.sigma2": 0.125}])
    before = search.studies()
    search.play(before, before.ask(), 0.6)
    studies = search.studies()
    console = log()
    with LiveTable(studies, slots=1, console=console):
        record = studies.ask()
        search.play(studies, record, 0.7)
        search.end(studies, studies.ask(), TrialState.PRUNED, "stopped by median after epoch 2")
        failed = "[Errno 5] [bold]no[/] such [/clip];" + 30 * " long"
        search.end(studies, studies.ask(), TrialState.FAILED, failed.replace("; ", ";\n\t"))
    said = console.file.getvalue().splitlines()
    assert len(said) == 3  # the trial of the run before is no news, and no line is broken
    assert said[0].startswith("fan-00001 [2/4] Ω 70.0 with mu=")
    assert said[0].endswith(" nll (16 s)")
    assert said[1] == "fan-00002 [3/4] pruned: stopped by median after epoch 2 (0 s)"
    assert said[2] == f"fan-00003 [4/4] failed: {failed} (0 s)"


def test_whoever_wants_a_model_sees_detectors_and_not_what_they_are(
    bench: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("humtune.search.live.QUIET_SECONDS", 0.0)
    search = bench(machines=("fan",), trials=3)
    studies = search.studies()
    console = log()
    with PlainTable(studies, slots=1, console=console) as table:
        search.play(studies, studies.ask(), 0.7)
        search.end(studies, studies.ask(), TrialState.FAILED, "no\nmemory")
        shown = log()
        shown.print(table.table())
    said = console.file.getvalue().splitlines()
    assert said[:2] == ["detector 1 of 3 is trained (16 s)", "detector 2 of 3 can't be used: no memory (0 s)"]
    assert said[-1].endswith(", in training: 0")
    assert "│ fan     │ 3         │ 1       │ 0           │" in shown.file.getvalue()
    assert terms_in(console.file.getvalue() + shown.file.getvalue()) == set()


def test_lines_come_while_the_search_runs(bench: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("humtune.search.live.REFRESH_SECONDS", 0.01)
    search = bench(machines=("fan",), trials=2)
    studies = search.studies()
    console = log()
    with LiveTable(studies, slots=1, console=console):
        search.play(studies, studies.ask(), 0.7)
        wait_for(lambda: "fan-00000 [1/2]" in console.file.getvalue())


def test_on_a_terminal_there_is_a_table_and_no_line(bench: Make) -> None:
    search = bench(machines=("fan",), trials=1)
    studies = search.studies()
    console = log(terminal=True)
    with LiveTable(studies, slots=1, console=console):
        search.play(studies, studies.ask(), 0.7)
    shown = console.file.getvalue()
    assert "70.0" in shown
    assert "fan-00000" not in shown


def test_the_display_ends_with_the_search_also_by_an_error(bench: Make) -> None:
    studies = bench().studies()
    table = LiveTable(studies, slots=1, console=log())
    with pytest.raises(KeyboardInterrupt), table:
        raise KeyboardInterrupt
    assert not table._thread.is_alive()


def test_what_was_chosen_is_short(bench: Make) -> None:
    search = bench(machines=("fan",), trials=1)
    record = search.studies().ask()
    chosen = {
        "spectrogram": "low",
        "head.mu": 5,
        "head.sigma2": 0.123456,
        "training.learning_rate": 1e-5,
        "x.y": None,
    }
    record = record.model_copy(update={"params": chosen})
    assert settings(record) == "spectrogram=low mu=5 sigma2=0.123 learning_rate=1e-05 y=None"
    complete = record.model_copy(update={"state": TrialState.COMPLETE, "omega": {"nll": 0.5, "cosine": 0.75}})
    assert outcome(complete).startswith("Ω 75.0 with spectrogram=low")
    assert outcome(complete.model_copy(update={"params": {}})) == f"Ω 75.0 with {complete.best_score}"
    assert outcome(complete).endswith(" cosine")


def test_what_is_judged_without_labels_says_so(bench: Any) -> None:
    studies = bench().studies()
    record = studies.ask()
    assert record is not None
    update = {"state": TrialState.COMPLETE, "judged_by": "pseudo", "pseudo": {"nll": 0.8}, "omega": {}}
    assert outcome(record.model_copy(update=update)).startswith("pseudo-Ω 80.0 with ")


def test_without_a_terminal_silence_is_broken(bench: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("humtune.search.live.QUIET_SECONDS", 0.0)
    studies = bench(trials=3).studies()
    trial = studies.ask()
    console = log()
    LiveTable(studies, slots=2, console=console)._log()
    assert console.file.getvalue() == f"0 s gone, starting, running: {trial.id}\n"
