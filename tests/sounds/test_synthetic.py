from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from humtune.cli.data import app
from humtune.errors import UsageError
from humtune.sounds import synthetic
from humtune.sounds.check import check_dataset
from humtune.sounds.dcase import find_dataset
from humtune.sounds.machines import RECIPES
from humtune.sounds.synthetic import Sizes, synthesise
from humtune.sounds.table import ANOMALY, NORMAL, SOURCE, TARGET

SMALL = Sizes(sections=2, train_source=3, train_target=2, test_per_cell=2, seconds=0.5)


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_two_at_once_make_one_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    true = synthetic._write_tables

    def other_is_faster(*words: object) -> None:
        true(*words)  # type: ignore[arg-type]
        (tmp_path / "new").mkdir(exist_ok=True)
        (tmp_path / "new" / "theirs").touch()

    monkeypatch.setattr(synthetic, "_write_tables", other_is_faster)
    with pytest.raises(UsageError, match=r"new: is there already and not empty; name a new folder"):
        synthesise(tmp_path / "new", machines=("fan",), sizes=Sizes(1, 1, 1, 1, 0.1))
    assert [path.name for path in tmp_path.rglob("*")] == ["new", "theirs"]


def test_our_own_finder_reads_the_layout(tmp_path: Path):
    synthesise(tmp_path / "data", machines=("fan", "valve"), sizes=SMALL)
    dataset = find_dataset(tmp_path / "data")
    assert dataset.machines == ("fan", "valve")
    clips = dataset.clips("valve")
    cells = Counter((c.part, c.split, c.section, c.domain, c.label) for c in clips)
    expected = {}
    for part, section in (("dev", 0), ("eval", 1)):
        expected[part, "train", section, SOURCE, NORMAL] = 3
        expected[part, "train", section, TARGET, NORMAL] = 2
        for domain in (SOURCE, TARGET):
            for label in (NORMAL, ANOMALY):
                expected[part, "test", section, domain, label] = 2
    assert cells == expected
    hidden = [c for c in clips if (c.part, c.split) == ("eval", "test")]
    assert [c.path.name for c in hidden] == [f"section_01_{i:04d}.wav" for i in range(8)]
    assert [c.label for c in hidden] != sorted(c.label for c in hidden), "the number must not tell the label"
    assert all(c.attributes.startswith("spd=") for c in clips if c not in hidden)
    report = check_dataset(dataset)
    assert report.bad == []
    assert report.formats == {(16_000, 1): 2 * (2 * 5 + 2 * 8)}
    assert set(report.seconds) == {0.5}


def test_domains_differ_in_one_attribute_a_section(tmp_path: Path):
    synthesise(tmp_path / "data", machines=["fan"], sizes=Sizes(4, 6, 6, 0, 0.1))
    values: dict[tuple[int, int], dict[str, set[str]]] = {}
    for clip in find_dataset(tmp_path / "data").clips("fan"):
        for pair in clip.attributes.split(","):
            key, _, value = pair.partition("=")
            values.setdefault((clip.section, clip.domain), {}).setdefault(key, set()).add(value)
    for section, shifted in enumerate(("spd", "load", "mic", "spd")):
        for key in ("spd", "load", "mic"):
            source, target = values[section, SOURCE][key], values[section, TARGET][key]
            assert source.isdisjoint(target) if key == shifted else source == target


def test_the_same_seed_gives_the_same_bytes_whichever_machines(tmp_path: Path):
    for name, machines, seed in (("a", ["fan", "slider"], 1), ("b", ["slider"], 1), ("c", ["slider"], 2)):
        synthesise(tmp_path / name, machines=machines, sizes=SMALL, seed=seed)
    first, second, other = (contents(tmp_path / name) for name in "abc")
    of_slider = {name: data for name, data in first.items() if "slider" in name}
    assert of_slider == second
    sounds = [name for name in second if name.endswith(".wav")]
    assert len({second[name] for name in sounds}) == len(sounds)
    assert not {second[name] for name in sounds} & set(other.values())


def test_every_machine_is_loud_enough_and_does_not_clip(tmp_path: Path):
    synthesise(tmp_path / "data", machines=list(RECIPES), sizes=Sizes(2, 2, 2, 4, 1.0))
    for path in (tmp_path / "data").rglob("*.wav"):
        samples = soundfile.read(path)[0]
        assert 0.01 < np.sqrt(np.mean(samples**2)) < 0.15, path.name
        assert np.abs(samples).max() < 0.99, path.name
        assert abs(samples.mean()) < 1e-3, path.name


def test_severity_reaches_the_faults_alone(tmp_path: Path):
    for name, severity in (("hard", 0.3), ("easy", 3.0)):
        synthesise(tmp_path / name, machines=["bearing"], sizes=SMALL, severity=severity)
    hard, easy = contents(tmp_path / "hard"), contents(tmp_path / "easy")
    different = {name for name in hard if hard[name] != easy[name]}
    truth = {
        c.path.relative_to(tmp_path / "hard").as_posix(): c.label
        for c in find_dataset(tmp_path / "hard").clips("bearing")
    }
    assert different == {name for name, label in truth.items() if label == ANOMALY}


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--machines", "fan,toaster"], "no synthetic machine is called 'toaster'; there are: fan, bearing"),
        (["--sections", "0"], "1 to 100 sections"),
        (["--clips", "-1"], "0 to 10000 clips"),
        (["--seconds", "0"], "0.1 s or longer"),
    ],
)
def test_wrong_words_leave_nothing_behind(tmp_path: Path, words: list[str], reason: str):
    result = CliRunner().invoke(app, ["synth", str(tmp_path / "data"), *words])
    assert isinstance(result.exception, UsageError)
    assert reason in str(result.exception)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_is_left_alone(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty; name a new folder"):
        synthesise(tmp_path, machines=["fan"], sizes=SMALL)
    assert contents(tmp_path) == {"notes.txt": b"mine"}


def test_the_command_writes_into_an_empty_folder(tmp_path: Path):
    words = "--machines fan --sections 1 --clips 2 --target-clips 1 --test-per-cell 1 --seconds 0.2 --seed 3"
    result = CliRunner().invoke(app, ["synth", str(tmp_path), *words.split()])
    assert result.exit_code == 0, result.output
    assert len(find_dataset(tmp_path).clips("fan")) == 7
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dev_data"]
