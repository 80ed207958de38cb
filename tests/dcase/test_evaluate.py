import csv
import os
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import hmean
from sklearn.metrics import roc_auc_score

from humtune.dcase.evaluate import evaluate_folder
from humtune.dcase.files import score_files
from humtune.errors import UsageError
from humtune.sounds.bank import clip_table
from humtune.sounds.clip import Clip

REAL = (
    Path(os.environ.get("HUMTUNE_REAL_DATA", Path(__file__).parents[3] / "shared/data")) / "dcase2022_scores"
)
real_scores = pytest.mark.skipif(not REAL.is_dir(), reason=f"no real score files: {REAL} is missing")
SYSTEMS = sorted(REAL.glob("dev/*"))

FILE = "anomaly_score_fan_section_00_test.csv"
DECISIONS = "decision_result_fan_section_00_test.csv"


def by_sklearn(sections):
    """Official and paper Ω in percent, the long way, of (scores, anomalous, target) per section."""
    official, paper = [], []
    for score, anomalous, target in sections:
        for domain in (~target, target):
            keep = anomalous | domain
            value = roc_auc_score(anomalous[keep], score[keep])
            official.append(value)
            paper += [value, roc_auc_score(anomalous[keep], score[keep], max_fpr=0.1)]
        official.append(roc_auc_score(anomalous, score, max_fpr=0.1))
    return [100 * hmean(np.maximum(v, np.finfo(float).eps)) for v in (official, paper)]


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        (
            FILE,
            lambda ls: [*ls[:4], ls[4].split(",")[0] + ",nan\n", *ls[5:]],
            rf"{FILE}, line 5: .*0004_a_1\.wav,nan",
        ),
        (FILE, lambda ls: [*ls, ls[2]], rf"{FILE}, line 41: .*_0002_a_1\.wav a second time, after line 3"),
        (FILE, lambda ls: ls[1:], r"_0000_a_1\.wav has a decision, but no score; add one, or drop it"),
        (
            DECISIONS,
            lambda ls: ls[:-1],
            rf"_0039_a_1\.wav has a score, but no decision; add it to {DECISIONS}",
        ),
        (DECISIONS, lambda ls: ["a.wav,0.5\n", *ls], rf"{DECISIONS}, line 1: expected clip,0 or clip,1"),
    ],
)
def test_missing_doubled_and_non_finite_lines_are_named(team, file, change, message):
    team.score(decisions=True)
    team.edit(file, change)
    with pytest.raises(UsageError, match=message):
        evaluate_folder(team.folder)


def test_scores_that_the_truth_wants_are_named(team):
    for machine in ("fan", "valve"):
        for section in (3, 4):
            team.score(machine, section, hidden=True)
    team.edit("anomaly_score_fan_section_04_test.csv", lambda lines: lines[2:])
    with pytest.raises(
        UsageError,
        match=r"fan: section_04_0000 stands in the truth below .*truth, but has no score \(1 more like it\); "
        r"add its line to anomaly_score_fan_section_04_test\.csv",
    ):
        evaluate_folder(team.folder, truth=team.truth)
    assert evaluate_folder(team.folder, truth=team.truth, machines=["valve"]).machines == ("valve",)
    for section in (3, 4):
        (team.folder / f"anomaly_score_fan_section_{section:02d}_test.csv").unlink()
    with pytest.raises(
        UsageError, match=r"fan: section_03_0000 stands .*; --machines valve evaluates the others"
    ):
        evaluate_folder(team.folder, truth=team.truth)


def clips_of_2021(*, hidden=True):
    """Names by domain, normals and anomalies in turn."""
    return {
        domain: [
            f"section_03_{domain}_test_{'' if hidden else f'{label}_'}{i:04d}.wav"
            for i, label in enumerate(["normal", "anomaly"] * 20)
        ]
        for domain in ("source", "target")
    }


def test_a_team_of_2021_has_a_file_per_domain(team):
    (team.truth / "ground_truth_data").mkdir(parents=True)
    team.folder.mkdir()
    rng, sections = np.random.default_rng(0), {}
    for domain, names in clips_of_2021().items():
        label, scores = np.arange(40) % 2, rng.normal(size=40)
        for folder, kind, values in (
            (team.truth / "ground_truth_data", "ground_truth", label),
            (team.folder, "anomaly_score", scores),
            (team.folder, "decision_result", (scores > 0).astype(int)),
        ):
            lines = "".join(f"{name},{value}\n" for name, value in zip(names, values, strict=True))
            (folder / f"{kind}_fan_section_03_{domain}_test.csv").write_text(lines)
        sections[domain] = (scores, label == 1)
    scores, label = (np.concatenate([sections[d][i] for d in sections]) for i in (0, 1))
    told = evaluate_folder(team.folder, truth=team.truth).to_percent()
    expected = by_sklearn([(scores, label, np.arange(80) >= 40)])[0]
    assert told["parts"]["eval"]["omega_official"] == pytest.approx(expected, abs=1e-9)
    team.edit("anomaly_score_fan_section_03_target_test.csv", lambda lines: lines[1:])
    team.edit("decision_result_fan_section_03_target_test.csv", lambda lines: lines[1:])
    with pytest.raises(UsageError, match=r"add its line to anomaly_score_fan_section_03_target_test\.csv"):
        evaluate_folder(team.folder, truth=team.truth)


@pytest.mark.parametrize(
    ("hidden", "files"), [(True, [(3, "source", 40), (3, "target", 40)]), (False, [(3, "", 80)])]
)
def test_a_submission_of_2021_has_a_file_per_domain_too(hidden, files):
    names = [name for names in clips_of_2021(hidden=hidden).values() for name in names]
    parsed = [Clip.parse(Path(name), machine="fan", part="eval", split="test") for name in names]
    found = score_files(clip_table("fan", parsed))
    assert [(section, domain, int(here.sum())) for section, domain, here in found] == files


def test_an_unknown_machine_is_named(team):
    team.score()
    with pytest.raises(UsageError, match=r"no scores of machine 'pump'; there are fan"):
        evaluate_folder(team.folder, machines=["pump"])


def test_figures_over_all_by_part_and_by_machine_are_those_of_sklearn(team):
    parts = {"dev": {}, "eval": {}}
    for machine in ("fan", "valve"):
        for section in (0, 1, 3):
            hidden = section == 3
            _, label, target, scores = team.score(machine, section, hidden=hidden, decisions=section == 0)
            parts["eval" if hidden else "dev"][machine, section] = (scores, label, target)
    result = evaluate_folder(team.folder, truth=team.truth)
    told = result.to_percent()
    for part, sections in parts.items():
        omegas = [told["parts"][part][f"omega_{kind}"] for kind in ("official", "paper")]
        assert omegas == pytest.approx(by_sklearn(sections.values()), abs=1e-9)
    everything = [s for sections in parts.values() for s in sections.values()]
    assert [told["omega_official"], told["omega_paper"]] == pytest.approx(by_sklearn(everything), abs=1e-9)
    fan = told["machines"]["fan"]
    assert [(s["section"], s["part"]) for s in fan["sections"]] == [(0, "dev"), (1, "dev"), (3, "eval")]
    assert fan["parts"]["eval"]["omega_official"] == pytest.approx(by_sklearn([parts["eval"]["fan", 3]])[0])
    scores, label, target = parts["dev"]["fan", 0]
    keep = label | target
    assert fan["sections"][0]["pauc_target"] == pytest.approx(
        100 * roc_auc_score(label[keep], scores[keep], max_fpr=0.1)
    )
    f1 = [fan["sections"][0][f"f1_{domain}"] for domain in ("source", "target")]
    assert fan["f1"] == pytest.approx(hmean(f1))
    assert "f1_source" not in fan["sections"][1]
    assert result.notes == tuple(f"{m}: sections 01, 03 without decisions" for m in ("fan", "valve"))


def test_sections_without_labels_are_left_out_and_named(team):
    team.score(section=0)
    for section in (3, 4):
        team.score(section=section, hidden=True)
    result = evaluate_folder(team.folder)
    assert result.parts == ("dev",)
    assert result.notes == ("fan: sections 03, 04 left out, without labels (--truth)",)
    assert evaluate_folder(team.folder, truth=team.truth).parts == ("dev", "eval")


def test_a_data_set_without_domains_has_no_target(team):
    team.folder.mkdir()
    lines = "".join(f"{y}_id_00_{i:08d}.wav,{i % 7}\n" for i, y in enumerate(["normal", "anomaly"] * 20))
    (team.folder / "anomaly_score_fan_id_00.csv").write_text(lines)
    told = evaluate_folder(team.folder).to_percent()
    assert told["auc_target"] is None
    assert told["machines"]["fan"]["sections"][0]["auc"] == pytest.approx(told["auc_source"])


@real_scores
def test_there_are_24_real_systems():
    assert len(SYSTEMS) == 24


@real_scores
@pytest.mark.parametrize("system", SYSTEMS, ids=lambda path: path.name)
def test_real_systems_agree_with_the_long_way(system):
    sections = {}
    for path in sorted(system.iterdir()):
        rows = list(csv.reader(path.open()))
        score = np.array([float(value) for _, value in rows])
        anomalous, target = (
            np.array([word in name for name, _ in rows]) for word in ("_anomaly_", "_target_")
        )
        sections.setdefault(path.name.split("_")[2], []).append((score, anomalous, target))
    told = evaluate_folder(system).to_percent()
    everything = [s for mine in sections.values() for s in mine]
    assert len(everything) == 21
    for metrics, mine in [(told, everything), *((told["machines"][m], s) for m, s in sections.items())]:
        omegas = [metrics["omega_official"], metrics["omega_paper"]]
        assert omegas == pytest.approx(by_sklearn(mine), abs=1e-9)


@real_scores
def test_a_real_submission_agrees_with_the_long_way_and_the_official_evaluator():
    def column(path):
        return np.array([float(value) for _, value in csv.reader(path.open())])

    truth = REAL / "eval"
    sections = []
    for path in sorted((truth / "xiao_1").iterdir()):
        name = path.name.replace("anomaly_score", "ground_truth")
        label, target = (column(truth / f"ground_truth_{kind}" / name) == 1 for kind in ("data", "domain"))
        sections.append((column(path), label, target))
    told = evaluate_folder(truth / "xiao_1", truth=truth).to_percent()
    assert len(told["machines"]) == 7
    assert [told["omega_official"], told["omega_paper"]] == pytest.approx(by_sklearn(sections), abs=1e-9)
    assert round(told["omega_official"], 2) == 66.39  # what the challenge published
