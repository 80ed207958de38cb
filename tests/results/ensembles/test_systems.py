import pytest

from humtune.dcase.files import write_file
from humtune.errors import UsageError
from humtune.results.ensembles.candidates import read_systems


@pytest.fixture
def system(tmp_path):
    def write(name, score=1.0):
        folder = tmp_path / name
        write_file(folder, "anomaly_score", machine="fan", section=0, names=["a.wav"], values=[score])
        return folder

    return write


def test_a_folder_without_score_files_is_refused(tmp_path):
    with pytest.raises(UsageError, match="nowhere: no files named anomaly_score"):
        read_systems([tmp_path / "nowhere"])


def test_a_system_given_twice_is_refused(system, tmp_path):
    folder = system("teams/one")
    with pytest.raises(UsageError, match="teams/one: imported twice"):
        read_systems([folder, tmp_path / "teams"])


def test_a_folder_of_folders_holds_a_system_each(system, tmp_path):
    system("teams/one", 1.5), system("teams/two", 2.5)
    (tmp_path / "teams" / "notes").mkdir()
    found = read_systems([tmp_path / "teams"])
    assert [s.name for s in found] == ["one", "two"]
    assert found[1].scores == {"fan": {"a.wav": 2.5}}


def test_systems_of_one_name_are_told_apart(system):
    found = read_systems([system("a/dev"), system("b/dev")])
    assert [s.name for s in found] == ["a/dev", "b/dev"]
