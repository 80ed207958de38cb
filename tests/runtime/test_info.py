"""What model.json says and keeps."""

import json
import math

import numpy as np
import pytest
from pydantic import ValidationError

from humtune.errors import UsageError
from humtune.metrics.calibration import threshold_from
from humtune.runtime.info import CARD, FORMAT, INFO, MODEL, Alarms, DomainScores, Evidence, read_info
from humtune.runtime.promises import GroupScores, promises

HELD_OUT = tuple(np.random.default_rng(0).gamma(3, size=200).tolist())


def test_a_folder_without_a_model_names_the_missing_file(tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(UsageError, match=r"there: not a model folder, it has no model\.json; humtune learn"):
        read_info(tmp_path / "there")


def test_a_folder_that_is_not_there_is_called_so_and_one_of_nearly_its_name_is_told(model, tmp_path):
    with pytest.raises(UsageError, match=r"nowhere: no such folder; humtune learn FOLDER --out MODEL makes"):
        read_info(tmp_path / "nowhere")
    with pytest.raises(UsageError, match=r"fann: no such folder; did you mean .*/fan\?$"):
        read_info(model.with_name("fann"))


def test_a_folder_without_its_graph_is_no_model(model):
    (model / MODEL).unlink()
    with pytest.raises(UsageError, match=r"fan: not a model folder, it has no model.onnx"):
        read_info(model)


def test_a_file_in_the_place_of_its_folder_is_told(model):
    with pytest.raises(
        UsageError, match=r"model.onnx: not a model folder, .*; name the folder that it lies in"
    ):
        read_info(model / MODEL)


def test_the_folder_above_the_models_names_them(model, tools):
    tools["write"](model.parent / "valve", tools["info"](machine="valve"))
    with pytest.raises(UsageError, match=r"did you mean .*/models/fan or .*/models/valve\?"):
        read_info(model.parent)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"machine": "fan"}', '"\\ud800"'])
def test_torn_or_foreign_settings_are_refused_by_name(model, content):
    (model / INFO).write_text(content)
    with pytest.raises(UsageError, match=r"fan/model.json: can't be read \(.+\); export the model again"):
        read_info(model)


def test_a_model_of_a_later_format_asks_for_an_upgrade(model):
    content = json.loads((model / INFO).read_text())
    content |= {"format": FORMAT + 1, "versions": {"humtune": "9.0"}}
    (model / INFO).write_text(json.dumps(content))
    with pytest.raises(UsageError, match=r"made with humtune 9\.0, too new for this one"):
        read_info(model)


def test_what_is_written_is_read_and_additions_of_later_versions_do_not_matter(model, tools):
    assert read_info(model) == tools["info"]()
    content = json.loads((model / INFO).read_text())
    (model / INFO).write_text(json.dumps(content | {"loudness": 3}))
    (model / CARD).write_text("# fan")
    assert read_info(model) == tools["info"]()


def evidence(**changes) -> Evidence:
    tested = (
        DomainScores(part="dev", domain="source", normal=(1, 2, 3, 4), anomaly=(3, 9)),
        DomainScores(part="dev", domain="target", normal=(5, 6), anomaly=(1,)),
    )
    return Evidence(**({"held_out": HELD_OUT, "clip_samples": 160_000, "tested": tested} | changes))


def test_a_model_whose_metrics_were_called_figures_is_read(model):
    kept = json.loads((model / INFO).read_text())
    kept["figures"] = kept.pop("metrics")
    (model / INFO).write_text(json.dumps(kept))
    assert read_info(model).metrics == kept["figures"] != {}


def test_a_test_without_clips_of_both_kinds_is_none():
    with pytest.raises(ValidationError, match="anomaly"):
        DomainScores(part="dev", domain="any", normal=(1.0,), anomaly=())


def test_a_threshold_is_judged_in_each_domain():
    assert evidence().alarms(3.0) == (
        Alarms("dev", "source", 4, 0.25, 2, 0.5),
        Alarms("dev", "target", 2, 1.0, 1, 0.0),
    )
    assert evidence().alarms(3.0)[1].to_metrics() == {"false_alarms_dev_target": 1, "caught_dev_target": 0}
    assert evidence(tested=()).alarms(3.0) == ()


def test_another_threshold_comes_from_what_is_kept(model, tools):
    tools["write"](model, tools["info"](evidence=evidence()))
    info = read_info(model)
    assert info.with_threshold(0.05).threshold == threshold_from(HELD_OUT, false_alarms=0.05)
    assert info.with_threshold() is info
    with pytest.raises(UsageError, match="a false-alarm rate lies between 0 and 1, got 5"):
        info.with_threshold(5)


def test_the_threshold_keeps_its_promise_in_each_domain():
    left_out = [
        GroupScores(domain="source", group="a", scores=HELD_OUT[:100]),
        GroupScores(domain="source", group="b", scores=HELD_OUT[100:]),
        *[GroupScores(domain="target", group=f"{i}", scores=(20.0 + i,)) for i in range(10)],
    ]
    found = evidence(left_out=left_out)
    source, target = promises(found.healthy, 0.1)
    assert (source.domain, source.groups, source.threshold.clips) == ("source", 2, 200)
    assert (target.groups, target.effective, target.least) == (10, 10, pytest.approx(1 / 11))
    assert found.threshold(0.1).value == target.threshold.value == 29
    note = found.threshold(0.01).note
    assert "target: 10 healthy clips can promise a false-alarm rate of 9.1%, not of 1.0%" in note
    assert target.needed == 9


def test_a_group_may_be_called_by_a_file_of_any_name():
    left_out = (GroupScores(domain="any", group="caf\udce9.wav", scores=(1.0,)),)
    kept = evidence(left_out=left_out).model_dump_json()
    assert Evidence.model_validate_json(kept).left_out == left_out


def test_a_threshold_of_an_earlier_version_is_read(model):
    kept = json.loads((model / INFO).read_text())
    kept["threshold"]["fit"] = "gamma"
    kept["evidence"] = {"held_out": HELD_OUT, "clip_samples": 160_000}
    (model / INFO).write_text(json.dumps(kept))
    info = read_info(model)
    assert info.threshold.fit == "gamma"
    assert info.with_threshold(0.05).threshold == threshold_from(HELD_OUT, false_alarms=0.05)
    assert len(info.healthy.groups) == len(HELD_OUT)


def test_a_model_from_before_keeps_its_threshold_and_says_why(tools):
    info = tools["info"]()
    assert info.window_samples == 10 * info.sample_rate
    with pytest.raises(UsageError, match=r"the model of fan keeps no scores .* export it again"):
        info.with_threshold(0.05)


def test_a_window_is_the_models_and_of_older_ones_as_long_as_the_clips_that_the_threshold_knows(tools):
    assert tools["info"](evidence=evidence(clip_samples=96_000)).window_samples == 96_000
    assert tools["info"](evidence=evidence(), window=8_000).window_samples == 8_000
    assert tools["info"](evidence=evidence(clip_samples=100)).window_samples == 4_000  # a chunk, at the least


def test_another_window_leaves_the_threshold(tools):
    info = tools["info"](window=8_000)
    assert info.with_window(None) is info
    assert info.with_window(2.5) == tools["info"](window=40_000)


@pytest.mark.parametrize("window", [0.1, 0, -3, math.nan, math.inf])
def test_a_window_shorter_than_a_chunk_or_without_end_is_refused(tools, window):
    with pytest.raises(UsageError, match=rf"--window {window:g}: the model takes 0.25 s at a time"):
        tools["info"]().with_window(window)
