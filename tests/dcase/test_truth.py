import shutil

import numpy as np
import pytest

from humtune.dcase.truth import Truth, find_unscored, label_clips
from humtune.errors import UsageError
from humtune.sounds.table import ANOMALY, NORMAL, SOURCE, TARGET, UNKNOWN, Role

NAMES = [f"section_03_{i:04d}.wav" for i in range(8)]


def test_a_folder_without_any_truth_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        UsageError, match=r"empty: no recordings found.*; or truth files in ground_truth_data"
    ):
        Truth.open(tmp_path / "empty")
    with pytest.raises(UsageError, match=r"nowhere: no such folder"):
        Truth.open(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("labels", "domains", "message"),
    [
        (0, 0, r"fan: section_03_0000\.wav carries no label in its name; name the folder of the truth"),
        (6, 8, r"fan: section_03_0006\.wav carries no label in its name; .* has no truth for it"),
        (8, 0, r"fan: section_03_0000\.wav has no domain; ground_truth_domain belongs beside the labels"),
    ],
)
def test_clips_without_label_or_domain_are_named(team, labels, domains, message):
    team.tell("fan", 3, NAMES[:labels], [0, 1] * (labels // 2), "data")
    team.tell("fan", 3, NAMES[:domains], [0, 1] * (domains // 2), "domain")
    with pytest.raises(UsageError, match=message):
        label_clips("fan", NAMES, truth=Truth.open(team.truth) if labels else None)


def test_what_is_no_test_clip_is_refused():
    for name in ("section_00_source_train_normal_0000_a_1.wav", "pump at noon.wav", "section_00_0000"):
        with pytest.raises(UsageError, match=rf"fan: only test clips are evaluated; {name}"):
            label_clips("fan", [name])
    with pytest.raises(UsageError, match=r"section_03_0000\.wav is scored a second time, in another folder"):
        label_clips("fan", ["a/section_03_0000.wav", "b/section_03_0000.wav"])


def test_names_and_truth_fill_the_table_and_part_the_clips(team):
    dev, label, target, _ = team.score(section=0)
    hidden, *_ = team.score(section=3, hidden=True)
    for path in (team.truth, team.truth / "ground_truth_data"):
        table = label_clips("fan", [*dev, *hidden], truth=Truth.open(path))
        assert table.label.tolist() == [*label] * 2
        assert table.domain.tolist() == [*target] * 2
        assert table.role.tolist() == [Role.SELECT] * 40 + [Role.REPORT] * 40
    assert {SOURCE, TARGET, NORMAL, ANOMALY} == {0, 1}
    assert Truth.open(team.truth).machines == ("fan",)


def test_a_section_without_any_label_stays_unknown_beside_others(team):
    dev, hidden = team.score(section=0)[0], team.score(section=3, hidden=True)[0]
    table = label_clips("fan", [*dev, *hidden])
    assert (table.label[table.section == 3] == UNKNOWN).all()
    assert (table.part == np.where(table.section == 3, "eval", "dev")).all()


def test_a_data_set_tells_labels_parts_and_what_is_missing(team, tmp_path):
    dev, hidden = team.score(section=0)[0], team.score(section=3, hidden=True)[0]
    data = tmp_path / "data"
    for part, names in (("dev", dev), ("eval", hidden)):
        (data / f"{part}_data/fan/test").mkdir(parents=True)
        for name in names:
            (data / f"{part}_data/fan/test/{name}").touch()
    shutil.move(team.truth / "ground_truth_data", data)
    shutil.move(team.truth / "ground_truth_domain", data)
    truth = Truth.open(data)
    spelt = [name.replace("section_03_", "section_03_test_") for name in hidden[1:]]
    table = label_clips("fan", [*dev, *spelt], truth=truth)
    assert (table.label != UNKNOWN).all()
    (missing,) = find_unscored(truth, {"fan": table}, machines=truth.machines)
    assert missing.path.name == hidden[0]
    alone = {"fan": label_clips("fan", dev[1:], truth=truth)}  # a part without any score is no gap
    assert [c.path.name for c in find_unscored(truth, alone, machines=("fan",))] == dev[:1]
