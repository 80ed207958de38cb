"""evaluate: of a folder what the command says, of arrays what scikit-learn says."""

import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from humtune import HumtuneError, UsageError, evaluate


def test_an_array_has_scikit_learns_auc():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 80)
    scores = rng.normal(size=80) + truth
    frame = evaluate(scores, truth).to_frame()
    assert frame["section"].tolist() == [0, "all"]
    assert frame["auc"][0] == pytest.approx(roc_auc_score(truth, scores))
    assert frame["pauc"][0] == pytest.approx(roc_auc_score(truth, scores, max_fpr=0.1))


def test_sections_and_domains_are_kept_apart():
    rng = np.random.default_rng(1)
    truth, domain, section = np.tile([0, 1], 60), np.repeat([0, 1], 60), np.tile([0, 0, 1, 1], 30)
    scores = rng.normal(size=120) + truth
    evaluation = evaluate(scores, truth, section=section, domain=domain)
    frame = evaluation.to_frame().set_index("section")
    here = section == 1
    target = here & ((domain == 1) | (truth == 1))
    assert frame.loc[1, "auc_target"] == pytest.approx(roc_auc_score(truth[target], scores[target]))
    assert frame.loc["all", "omega_official"] == pytest.approx(
        float(evaluation.results[0].metrics.omega_official)
    )
    assert "<table" in evaluation._repr_html_()


def test_a_folder_is_evaluated_as_by_the_command(team, humtune):
    team.score("fan")
    team.score("fan", section=1)
    folder = team.folder
    frame = evaluate(folder).to_frame().set_index(["machine", "section"])
    _, out, _ = humtune("evaluate", folder, "--json")
    said = json.loads(out)
    for key in ("omega_official", "omega_paper", "pauc"):
        assert 100 * frame.loc[("fan", "all"), key] == pytest.approx(said["machines"]["fan"][key])
    assert 100 * frame.loc[("fan", 0), "auc_source"] == pytest.approx(
        said["machines"]["fan"]["sections"][0]["auc_source"]
    )


def test_what_does_not_fit_is_one_sentence(tmp_path):
    with pytest.raises(UsageError, match="an array of labels"):
        evaluate(np.zeros(4))
    with pytest.raises(UsageError, match="it is a folder too"):
        evaluate(tmp_path, np.zeros(4))
    with pytest.raises(UsageError, match=r"scores of shape \[4\], label of \[3\]"):
        evaluate(np.zeros(4), [0, 1, 1])
    with pytest.raises(UsageError, match="0, normal, or 1"):
        evaluate(np.zeros(3), [0, 1, 2])
    with pytest.raises(HumtuneError, match="clip 1 is nan"):
        evaluate([0, np.nan], [0, 1])
    with pytest.raises(HumtuneError, match="machine"):
        evaluate([0.0, 1.0], [0, 0])
