"""What a download of the small Zenodo of the tests leaves behind."""

from pathlib import Path

DEV_FAN = {
    "dev_data/fan/train/section_00_source_train_normal_0000_a_1.wav",
    "dev_data/fan/test/section_00_target_test_anomaly_0000_a_1.wav",
    "dev_data/fan/attributes_00.csv",
}


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}
