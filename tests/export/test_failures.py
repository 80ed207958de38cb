import numpy as np
import pytest

from humtune.export.failures import failures
from humtune.results.labelled import Reading, labelled_clips
from humtune.sounds.table import SOURCE, TARGET, UNKNOWN, ClipTable, Role


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
    assert failures(Reading()) == "Nobody told which clips are anomalous, so nobody knows."


@pytest.mark.parametrize(("domain", "name"), [(SOURCE, "source"), (TARGET, "target")])
def test_the_worst_cell_is_named_and_its_section_leads(domain, name):
    clips = table()
    scores = clips.label + np.linspace(0, 0.5, len(clips))
    deaf = (clips.section == 1) & (clips.domain == domain) & (clips.label == 0)
    scores[deaf] += 2  # normals of that cell outscore every anomaly
    told = failures(labelled_clips(clips).read(scores))
    assert told.startswith(
        f"It hears worst in section 01 of the dev clips in the {name} domain: AUC 0.0 %, hardly"
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
