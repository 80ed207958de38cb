"""What a card tells of an ensemble that labels did not choose, or that could not be read."""

import pytest

from humtune.evaluation.calibration import Standard
from humtune.export.story import ensemble_story
from humtune.ledger import Ledger
from humtune.results.ensembles.record import EnsembleRecord, Member, Settings
from humtune.results.measure import Measured
from humtune.storage import Storage


@pytest.fixture(scope="module")
def measured(finished) -> Measured:
    ledger = Ledger.open(Storage(finished), "small")
    records = tuple(r.model_copy(update={"pseudo": {"nll": 0.75}}) for r in ledger.records("fan"))
    return Measured("fan", records, None, ledger.clips("fan"))


def record(**changes: object) -> EnsembleRecord:
    trials = [f"fan-{number:05d}" for number in range(2)]
    found = EnsembleRecord(
        id="fan-ensemble",
        machine="fan",
        members=tuple(Member(trial=t, score_type="nll", calibration=Standard(0.0, 1.0)) for t in trials),
        weights=(0.25, 0.75),
        settings=Settings(candidates=6),
        created=0.0,
        version="0",
    )
    return found.model_copy(update=changes)


def test_without_labels_no_anomaly_was_looked_at(measured):
    judged = measured.records[0].model_copy(update={"judged_by": "pseudo"})
    told = Measured("fan", (judged, *measured.records[1:]), None, measured.clips)
    settings = Settings(candidates=6, judged_by="pseudo")
    story = ensemble_story(record(settings=settings, compared={"ensemble": (0.6,)}), told)
    assert "the highest pseudo-Ω of 6 candidates" in story.selection
    assert "No anomaly\nwas looked at" in story.selection
    assert "cross-fitted" not in story.selection.lower()
    assert "pseudo-Ω alone, %" in story.configuration
    assert "| fan-00000 | nll | 0.250 | 75.0 |" in story.configuration


def test_without_cross_fitted_figures_none_are_promised(measured):
    story = ensemble_story(record(), measured)
    assert story.selection.endswith("that Ω is too high.")


def test_the_heaviest_member_stands_first(measured):
    lines = ensemble_story(record(), measured).configuration.splitlines()
    assert [line.split(" | ")[0] for line in lines[2:4]] == ["| fan-00001", "| fan-00000"]
