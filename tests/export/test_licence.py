from humtune.export.licence import licence_of


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
