import csv
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import hmean
from sklearn.metrics import roc_auc_score

from humtune.errors import UsageError
from humtune.evaluation.metrics import pool
from humtune.evaluation.scorefiles import evaluate_folder, read_file, read_folder, write_file

REAL = (
    Path(os.environ.get("HUMTUNE_REAL_DATA", Path(__file__).parents[3] / "shared/data")) / "dcase2022_scores"
)
real_scores = pytest.mark.skipif(not REAL.is_dir(), reason=f"no real score files: {REAL} is missing")
XIAO = REAL / "eval/xiao_1"

NAMES = [
    f"section_00_{d}_test_{y}_{i:04d}.wav"
    for d in ("source", "target")
    for y in ("normal", "anomaly")
    for i in range(2)
]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,score\na.wav,1\n", r"line 1: expected clip,score with a finite score, got 'name,score'"),
        ("a.wav,1\nb.wav,nan\n", r"line 2: expected clip,score with a finite score, got 'b.wav,nan'"),
        ("a.wav,1\n\nb.wav,inf\n", r"line 3: expected clip,score"),
        ("a.wav,1,2\n", r"line 1: expected clip,score .* got 'a.wav,1,2'"),
        ("a.wav\n", r"line 1: expected clip,score"),
        ("a.wav,1\na.wav,2\n", r"line 2: a.wav a second time"),
    ],
)
def test_a_bad_line_is_named(tmp_path, text, message):
    path = tmp_path / "anomaly_score_fan_section_00.csv"
    path.write_text(text)
    with pytest.raises(UsageError, match=rf"{path}, {message}"):
        read_file(path)


def test_decisions_and_truth_are_0_or_1(tmp_path):
    (tmp_path / "decision_result_fan_section_00_test.csv").write_text("a.wav,1\nb.wav,0.5\n")
    with pytest.raises(UsageError, match=r"line 2: expected clip,0 or clip,1, got 'b.wav,0.5'"):
        read_folder(tmp_path, "decision_result")


def test_a_folder_without_score_files_is_named(tmp_path):
    with pytest.raises(UsageError, match=rf"{tmp_path}: no files named anomaly_score_<machine>_section"):
        read_folder(tmp_path)
    (tmp_path / "anomaly_score_fan.csv").touch()
    with pytest.raises(UsageError, match=r"expected a name like anomaly_score_fan_section_00_test\.csv"):
        read_folder(tmp_path)


def test_the_same_clip_in_two_files_is_refused(tmp_path):
    write_file(tmp_path, "anomaly_score", machine="fan", section=0, names=["a.wav"], values=[1])
    shutil.copy(
        tmp_path / "anomaly_score_fan_section_00_test.csv", tmp_path / "anomaly_score_fan_section_00.csv"
    )
    with pytest.raises(UsageError, match=r"a\.wav stands in another file"):
        read_folder(tmp_path)


def test_a_table_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "anomaly_score_fan_section_00.csv"
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(UsageError, match="can't be read as a table"):
        read_file(path)


def test_what_is_written_is_read_bit_for_bit(tmp_path):
    values = np.array([0.1, 1 / 3, -1e-300])
    path = write_file(tmp_path, "anomaly_score", machine="Toy_Car", section=7, names="abc", values=values)
    assert path.name == "anomaly_score_Toy_Car_section_07_test.csv"
    assert read_folder(tmp_path) == {"Toy_Car": dict(zip("abc", values, strict=True))}
    assert path.read_bytes() == b"a,0.1\nb,0.3333333333333333\nc,-1e-300\n"
    write_file(tmp_path, "decision_result", machine="fan", section=0, names="ab", values=[True, False])
    assert (tmp_path / "decision_result_fan_section_00_test.csv").read_bytes() == b"a,1\nb,0\n"
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".csv", ".csv"]  # no drafts


def test_both_spellings_and_2020s_are_read(tmp_path):
    for name in ("fan_section_00_test", "fan_section_01", "pump_id_02"):
        (tmp_path / f"anomaly_score_{name}.csv").write_text(f"{name}.wav,1\r\n")
    found = read_folder(tmp_path)
    assert found == {
        "fan": {"fan_section_00_test.wav": 1, "fan_section_01.wav": 1},
        "pump": {"pump_id_02.wav": 1},
    }


def write_truth(folder, kind, values):
    lines = "".join(f"section_03_{i:04d}.wav,{v}\n" for i, v in enumerate(values))
    (folder / f"ground_truth_{kind}").mkdir()
    (folder / f"ground_truth_{kind}" / "ground_truth_fan_section_03_test.csv").write_text(lines)


@pytest.fixture
def unlabelled(tmp_path):
    scores = tmp_path / "scores"
    names = [f"section_03_{i:04d}.wav" for i in range(8)]
    write_file(
        scores, "anomaly_score", machine="fan", section=3, names=names, values=[1, 2, 1, 2, 1, 2, 1, 2]
    )
    return scores


def test_labels_come_from_the_names_or_the_truth(tmp_path, unlabelled):
    named = tmp_path / "named"
    values = [1, 3, 2, 4, 1, 2, 2, 4]
    write_file(named, "anomaly_score", machine="fan", section=0, names=NAMES, values=values)
    figures = evaluate_folder(named)["fan"]
    labels, targets = [0, 0, 1, 1] * 2, [0] * 4 + [1] * 4
    keep = [y == 1 or d == 0 for y, d in zip(labels, targets, strict=True)]
    expected = roc_auc_score(np.array(labels)[keep], np.array(values)[keep])
    assert float(figures.auc_source) == pytest.approx(expected)

    write_truth(tmp_path, "data", [0, 1] * 4)
    write_truth(tmp_path, "domain", [0] * 4 + [1] * 4)
    for truth in (tmp_path, tmp_path / "ground_truth_data"):
        assert float(evaluate_folder(unlabelled, truth=truth)["fan"].omega_official) == pytest.approx(1)


def test_clips_without_truth_domain_or_score_are_named(tmp_path, unlabelled):
    with pytest.raises(
        UsageError, match=r"fan: section_03_0000\.wav carries no label in its name; name the folder"
    ):
        evaluate_folder(unlabelled)
    write_truth(tmp_path, "data", [0, 1] * 5)
    with pytest.raises(
        UsageError, match=r"fan: section_03_0008 stands in the truth below .*, but has no score"
    ):
        evaluate_folder(unlabelled, truth=tmp_path)
    shutil.rmtree(tmp_path / "ground_truth_data")
    write_truth(tmp_path, "data", [0, 1] * 3)
    write_truth(tmp_path, "domain", [0] * 4 + [1] * 4)
    with pytest.raises(
        UsageError, match=r"fan: section_03_0006\.wav carries no label in its name; .* no truth for"
    ):
        evaluate_folder(unlabelled, truth=tmp_path)
    shutil.rmtree(tmp_path / "ground_truth_data")
    shutil.rmtree(tmp_path / "ground_truth_domain")
    write_truth(tmp_path, "data", [0, 1] * 4)
    with pytest.raises(UsageError, match=r"fan: section_03_0000\.wav has no domain"):
        evaluate_folder(unlabelled, truth=tmp_path)


@real_scores
def test_the_official_omega_of_a_real_submission():
    figures = evaluate_folder(XIAO, truth=REAL / "eval")
    assert len(figures) == 7
    assert round(100 * float(pool(figures.values()).omega_official), 2) == 66.39


@real_scores
@pytest.mark.parametrize("system", ["md-md-gwrp", "gmm-gmm-logmel-gwrp-mix-gmm-2"])
def test_real_systems_agree_with_the_long_way(system):
    official, paper = [], []
    for path in sorted((REAL / "dev" / system).iterdir()):
        rows = list(csv.reader(path.open()))
        score = np.array([float(value) for _, value in rows])
        anomalous = np.array(["_anomaly_" in name for name, _ in rows])
        target = np.array(["_target_" in name for name, _ in rows])
        for domain in (~target, target):
            keep = anomalous | domain
            value = roc_auc_score(anomalous[keep], score[keep])
            official.append(value)
            paper += [value, roc_auc_score(anomalous[keep], score[keep], max_fpr=0.1)]
        official.append(roc_auc_score(anomalous, score, max_fpr=0.1))
    pooled = pool(evaluate_folder(REAL / "dev" / system).values())
    assert float(pooled.omega_official) == pytest.approx(hmean(official), abs=1e-12)
    assert float(pooled.omega_paper) == pytest.approx(hmean(paper), abs=1e-12)
