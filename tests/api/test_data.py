"""data: what `humtune data` does, called."""

import pytest

from humtune import UsageError, data


def test_a_data_set_is_made_and_checked(tmp_path):
    made = data.synth(
        tmp_path / "data", machines=["fan"], sections=1, clips=2, target_clips=1, test_per_cell=1, seconds=0.5
    )
    [report] = data.check(made)
    counts = report.to_frame()
    assert counts["clips"].sum() == 3 + 4
    assert set(counts["label"]) == {"normal", "anomaly"}
    assert report.bad == []
    with pytest.raises(UsageError, match="is there already"):
        data.synth(made)


def test_a_folder_is_imported(tmp_path):
    made = data.synth(
        tmp_path / "data", machines=["fan"], sections=1, clips=4, target_clips=0, test_per_cell=1, seconds=3.0
    )
    imported = data.import_folder(made / "dev_data" / "fan" / "train", tmp_path / "own", machine="pump")
    assert imported.machine == "pump"
    [report] = data.check(tmp_path / "own")
    assert set(report.to_frame()["machine"]) == {"pump"}
