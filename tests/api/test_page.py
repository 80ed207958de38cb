"""The code of docs/api.md, run from its first line to its last, by a loop in the place of Ray."""

import re
from pathlib import Path

import numpy as np
import pytest
from loop import search_here

from humtune import searches
from humtune.api.trials import limit_of

PAGE = Path(__file__).parents[2] / "docs" / "api.md"

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def page(tmp_path_factory, mlflow_ready, one_thread):
    """What the names of the page mean when it is over."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("page")
        patch.chdir(folder)
        mlflow_ready(folder / "humtune-runs")
        search_here(patch)
        patch.setattr("humtune.sounds.probes.PER_KIND", 12)
        names: dict[str, object] = {}
        for code in re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), flags=re.DOTALL | re.MULTILINE):
            exec(compile(code, str(PAGE), "exec"), names)
        yield names


def test_the_page_runs_to_its_end(page):
    found = page["found"]
    trials = found.trials()
    assert (trials["state"] == "complete").all()
    assert len(trials) == 4 + 2
    assert page["scored"].score == page["model"].score(page["file"])[0].score
    assert Path("roc.png").stat().st_size > 1000
    assert searches().loc["first", "complete"] == 6


def test_arrays_and_the_ledger_agree_on_what_a_trial_is_worth(page):
    """Ω of the page's `evaluate` call, by hand, is the trial's own."""
    from humtune import evaluate

    clips = page["clips"]
    frame = evaluate(
        clips["own"], page["truth"], section=clips["section"], domain=clips["domain"] == "target"
    ).to_frame()
    ours = frame.loc[frame["section"] == "all", "omega_official"].item()
    assert ours == pytest.approx(page["found"].trials().loc["fan-00000", "omega"])


def test_a_model_scores_a_clip_as_its_trial_did(page):
    """The exported model's score of each test clip is in the order that the ledger's scores have."""
    best = page["found"].ledger.plan.machines and page["model"].info.trial
    ledgers = page["found"].scores(best).query("role == 'select'").set_index("clip")["own"]
    models = page["scores"].to_frame()
    models.index = [Path(file).name for file in models["file"]]
    shared = ledgers.index.intersection(models.index)
    assert len(shared) == len(models)
    np.testing.assert_allclose(models.loc[shared, "score"], ledgers[shared], rtol=1e-3, atol=1e-3)


def test_a_trials_detector_scores_files_as_the_trial_did(page):
    """And its limit is what the held-out clips' scores give."""
    detector, scores = page["found"].detector("fan-00001"), page["found"].scores("fan-00001")
    folder = page["recordings"] / "dev_data" / "fan" / "test"
    clips = scores.query("role == 'select'")
    files = [folder / name for name in clips["clip"]]
    np.testing.assert_allclose(-detector.score_samples(files), clips["own"], rtol=1e-6)
    limit = limit_of(scores["own"].to_numpy(), page["found"].ledger.clips("fan"))
    assert detector.threshold_ == limit
