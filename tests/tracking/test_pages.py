import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hostile import FILE_NAMES
from markdown_it import MarkdownIt

from humtune.ledger import Ledger
from humtune.records import TrialRecord, TrialState
from humtune.results.candidates import Candidate
from humtune.tracking import Tracker, sync
from humtune.tracking.pages import Best, MachineSummary, search_page
from humtune.tracking.place import connect

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("sketches")]

Make = Callable[..., TrialRecord]
Write = Callable[[Ledger, TrialRecord], TrialRecord]
Named = Callable[[str], dict[str, Any]]

NOTE = "mlflow.note.content"


def page(uri: str) -> str:
    """The experiment's description."""
    return str(connect(uri).get_experiment_by_name("hums").tags[NOTE])


def test_a_page_that_a_person_wrote_stays(
    small: Ledger, uri: str, record: Make, write: Write, named: Named
) -> None:
    write(small, record("fan", 0, omega=0.6))
    sync(small, uri=uri)
    client, fan = connect(uri), named(uri)["fan"]["info"]
    client.set_tag(fan["run_id"], NOTE, "mine")
    client.set_experiment_tag(fan["experiment_id"], NOTE, "mine too")
    write(small, record("fan", 1, omega=0.7))
    sync(small, uri=uri)
    assert named(uri)["fan"]["tags"][NOTE] == "mine"
    assert page(uri) == "mine too"


def test_the_first_line_of_a_search_leads_to_the_best_of_each_machine(
    ledger: Ledger, uri: str, named: Named
) -> None:
    sync(ledger, uri=uri)
    runs, first = named(uri), page(uri).splitlines()[0]
    for trial in ("fan-00000", "valve-00000"):
        info = runs[trial]["info"]
        link = f"#/experiments/{info['experiment_id']}/runs/{info['run_id']}"
        assert f"[{trial}]({link}) {100 * ledger.read(trial).objective:.1f}" in first
    assert "1 complete, 1 pruned, 1 failed" in page(uri)


def test_nothing_found_yet_is_said_so(small: Ledger, uri: str, named: Named) -> None:
    sync(small, uri=uri)
    assert page(uri).startswith("Best trials by Ω: –\n")
    assert NOTE not in named(uri)["fan"]["tags"]


@pytest.mark.parametrize("remembers", [True, False])
def test_a_machine_has_its_part_of_the_table_when_all_its_trials_have_ended(
    small: Ledger, uri: str, record: Make, write: Write, named: Named, remembers: bool
) -> None:
    tracker = Tracker(small, uri=uri)
    for number in range(3):
        write(small, record("fan", number, omega=0.6))
    tracker.sync()
    before = named(uri)["fan"]["tags"][NOTE]
    assert "humtune report hums" in before
    assert "Ω cross-fitted" not in before
    write(small, record("fan", 3, state=TrialState.PRUNED, epochs=1))
    (tracker if remembers else Tracker(small, uri=uri)).sync()
    told, best = named(uri)["fan"]["tags"][NOTE], named(uri)["fan-00000"]["info"]["run_id"]
    assert "| trials | 3+1+0 |" in told
    assert "| Ω cross-fitted | **" in told
    assert f"![roc.png](get-artifact?path=roc.png&run_uuid={best})" in told


def test_a_trial_with_missing_scores_is_left_out_by_name_until_they_are_there(
    small: Ledger, uri: str, record: Make, write: Write, named: Named
) -> None:
    for number in range(4):
        write(small, record("fan", number, omega=0.6))
    kept = small.storage.read(small.layout.score("fan-00002", "nll"))
    small.storage.delete(small.layout.score("fan-00002", "nll"))
    tracker = Tracker(small, uri=uri)
    tracker.sync()
    told = named(uri)["fan"]["tags"][NOTE]
    assert "| trials | 3+0+1 |" in told
    assert "fan-00002: its scores are lost." in told
    small.storage.write(small.layout.score("fan-00002", "nll"), kept)
    tracker.sync()
    assert "| trials | 4+0+0 |" in named(uri)["fan"]["tags"][NOTE]


def shown(markdown: str) -> str:
    """The text that a person reads, without links and markup."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(markdown)
    children = (child for token in tokens for child in token.children or ())
    return "\n".join(child.content for child in children if child.type in ("text", "code_inline"))


def test_names_of_any_kind_are_mirrored_and_shown_as_they_are(
    new_ledger: Callable[..., Ledger],
    record: Make,
    write: Write,
    named: Named,
    same: Callable[[str, Ledger], None],
    uri: str,
    tmp_path: Path,
) -> None:
    search = "o'neill `x`: 100%?"
    ledger = new_ledger(tmp_path / "runs", name=search, machines=FILE_NAMES)
    for machine in FILE_NAMES:
        write(ledger, record(machine, 0))
    assert sync(ledger, uri=uri).created == len(FILE_NAMES)
    same(uri, ledger)
    runs = named(uri)
    for machine in FILE_NAMES:
        own = shown(runs[machine]["tags"][NOTE])
        assert f"{machine}-00000" in own.replace("\n", "")
        assert f"humtune report {shlex.quote(search)}" in own
        trial = ledger.read(f"{machine}-00000")
        candidate = Candidate(trial, trial.best_score, trial.objective)
        best = Best(candidate, "1", runs[trial.id]["info"]["run_id"])
        whole = shown(search_page("1", [MachineSummary(machine, best, [trial])])).splitlines()
        assert "".join(whole).count(f"{machine}-00000") == 2  # in the first line, and in the table
    assert sync(ledger, uri=uri).unchanged == len(FILE_NAMES)
