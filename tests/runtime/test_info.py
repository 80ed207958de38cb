import json

import pytest

from humtune.errors import UsageError
from humtune.runtime.info import CARD, FORMAT, INFO, MODEL, read_info


def test_a_folder_without_a_model_names_the_missing_file(tmp_path):
    with pytest.raises(
        UsageError, match=r"nowhere: not a model folder, it has no model\.json; humtune export"
    ):
        read_info(tmp_path / "nowhere")


def test_a_folder_without_its_graph_is_no_model(model):
    (model / MODEL).unlink()
    with pytest.raises(UsageError, match=r"fan: not a model folder, it has no model.onnx"):
        read_info(model)


def test_a_file_in_the_place_of_its_folder_is_told(model):
    with pytest.raises(
        UsageError, match=r"model.onnx: not a model folder, .*; name the folder that `humtune"
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
