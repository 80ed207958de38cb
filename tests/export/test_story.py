"""What a card tells of an ensemble, of the recordings' licence, and of where a model is worst."""

import numpy as np
import pytest

from humtune.export.story import ensemble_story, failures, licence_of
from humtune.ledger import Ledger
from humtune.metrics.calibration import Standard
from humtune.results.ensembles.record import EnsembleRecord, Member, Settings
from humtune.results.measure import Measured
from humtune.results.reading import Reading, labelled_clips
from humtune.sounds.table import SOURCE, TARGET, UNKNOWN, ClipTable, Role
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
    assert "No label chose them" in story.selection
    assert "no recording of a fault was needed" in story.selection
    assert "cross-fitted" not in story.selection.lower()
    assert "pseudo-Ω alone, %" in story.configuration
    assert "| fan-00000 | nll | 0.250 | 75.0 |" in story.configuration


def test_without_cross_fitted_figures_none_are_promised(measured):
    story = ensemble_story(record(), measured)
    assert story.selection.endswith("that Ω is too high.")


def test_the_heaviest_member_stands_first(measured):
    lines = ensemble_story(record(), measured).configuration.splitlines()
    assert [line.split(" | ")[0] for line in lines[2:4]] == ["| fan-00001", "| fan-00000"]


def table(domains=(SOURCE, TARGET)) -> ClipTable:
    cells = [(s, d, y) for s in (0, 1) for d in domains for y in (0, 1) for _ in range(10)]
    n = len(cells)
    return ClipTable.from_columns(
        machine="fan",
        name=[f"{i}.wav" for i in range(n)],
        part=["dev"] * n,
        split=["test"] * n,
        section=[s for s, _, _ in cells],
        domain=[d for _, d, _ in cells],
        label=[y for _, _, y in cells],
        attributes=[""] * n,
        role=[str(Role.SELECT)] * n,
    )


def test_without_labels_it_is_not_known():
    assert failures(Reading()) == "Which clips are anomalous is not known, so neither is where it fails."


@pytest.mark.parametrize(("domain", "name"), [(SOURCE, "source"), (TARGET, "target")])
def test_the_worst_cell_is_named_and_its_section_leads(domain, name):
    clips = table()
    scores = clips.label + np.linspace(0, 0.5, len(clips))
    deaf = (clips.section == 1) & (clips.domain == domain) & (clips.label == 0)
    scores[deaf] += 2  # normals of that cell outscore every anomaly
    told = failures(labelled_clips(clips).read(scores))
    assert told.startswith(
        f"It is worst in section 01 of the dev clips in the {name} domain: AUC 0.0 %, hardly"
    )
    rows = [line.split(" | ") for line in told.splitlines() if line.startswith("| dev")]
    assert [row[0] for row in rows] == ["| dev 01", "| dev 00"]
    assert rows[1][1:] == ["100.0", "100.0", "100.0 |"]
    assert rows[0][1 if name == "source" else 2] == "0.0"


def test_without_domains_there_is_one_auc():
    clips = table((UNKNOWN,))
    told = failures(labelled_clips(clips).read(clips.label.astype(float)))
    assert "worst in section 00 of the dev clips: AUC 100.0 %. The" in told
    assert "| section | AUC without domain % | pAUC % |" in told


def test_without_a_licence_it_says_so(tmp_path):
    (tmp_path / "dev_data").mkdir()
    assert licence_of(str(tmp_path)).startswith("No licence lies beside the recordings")
    assert licence_of(str(tmp_path / "gone")).startswith("No licence lies beside the recordings")


def test_files_that_tell_it_are_named(tmp_path):
    for name in (
        "LICENSE",
        "dev_data/fan/licence.txt",
        "dev_data/fan/train/license.wav",
        "dev_data/sound.wav",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert licence_of(str(tmp_path)).startswith(
        "Beside the recordings lies `LICENSE`, `dev_data/fan/licence.txt`: their licence is there."
    )
