"""What YAML reads as something else than people mean is refused, by file, line, key, value and mend."""

from pathlib import Path
from typing import Any

import pytest

from humtune.errors import UsageError
from humtune.search.space import read_space
from humtune.search.space.overrides import read_settings
from humtune.search.space.strict_yaml import read_mapping, read_value

MU = "search: {head.mu: [5, 10]}\n"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        (".5e3", 500.0),
        ("-1.5E+2", -150.0),
        ("1_000", 1000),
        ("0x10", 16),
        ("0", 0),
        ("010.5", 10.5),
        ("yes", True),
        ("off", False),
        ("no one", "no one"),
        ("'010'", "010"),
        ("2024-01-31", "2024-01-31"),
        ("", None),
        ("~", None),
        ("{a: &x {b: 1, c: 2}, d: {<<: *x, c: 3}}", {"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 3}}),
        (
            "{a: &x {k: 1}, b: {c: &y {<<: *x, k: 2}}, d: {<<: *y}}",
            {"a": {"k": 1}, "b": {"c": {"k": 2}}, "d": {"k": 2}},
        ),
    ],
)
def test_what_is_clear_is_read_as_it_is_meant(text: str, value: Any) -> None:
    assert read_value(text, where="here") == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("trials: 010", "line 1: trials: 010 is 8 in YAML, octal; write 10 or 8"),
        (
            "a:\n  b: 1:30",
            "line 2: a.b: 1:30 is a number to the base of 60 in YAML; write it out, or in quotes",
        ),
        ("a:\n- .inf", "line 2: a: .inf is no finite number; give one"),
        ("a: {low: -.INF}", "line 1: a.low: -.INF is no finite number"),
        ("a: .nan", "line 1: a: .nan is no finite number"),
        ("a: 1e999", "line 1: a: 1e999 is no finite number"),
        ("a: {b: 1,\n b: 2}", "line 2: a: 'b' stands twice; keep one"),
        ("a: &x {}\nb: {<<: *x, <<: *x}", "line 2: b: '<<' stands twice; keep one"),
        ("a:\n  on: 1", "line 2: a: a key should be text, got on; write it in quotes"),
        ("5: 1", "line 1: a key should be text, got 5; write it in quotes"),
        ("? [1]\n: 2", "line 1: a key should be text, got a list or mapping"),
        ("a: &x [*x]", "line 1: a: the anchor holds itself"),
        ("a: 1\n---\nb: 2", "is not YAML: line 2: another document begins here; a file holds one"),
        ("a:\n\tb: 1", "is not YAML: line 2: found character '\\t' that cannot start any token; indent with"),
        ("a: *x", "is not YAML: line 1: found undefined alias"),
        ("a: !!python/object:os.system {}", "is not YAML: line 1: could not determine a constructor"),
        ("a: b\x00", "is not YAML: unacceptable character #x0000"),
        ("[" * 5000, "is not YAML: its brackets are nested too deeply"),
    ],
)
def test_what_is_not_clear_is_told(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_value(text, where="here")
    assert said in str(caught.value)
    assert str(caught.value).startswith("here")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "holds no settings"),
        (b"- search\n", "holds no settings"),
        (
            b"a: 1\ndescription: gr\xfcn\n",
            "is not UTF-8 text: line 2 has the byte 0xfc; save it again as UTF-8",
        ),
        ("a: 1".encode("utf-16"), "is not UTF-8 text: line 1 has the byte 0xff"),
    ],
)
def test_files_that_hold_no_settings_are_told(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "mine.yaml").write_bytes(data)
    with pytest.raises(UsageError, match=said):
        read_mapping(tmp_path / "mine.yaml")


def test_a_byte_order_mark_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(MU, encoding="utf-8-sig")
    assert read_mapping(tmp_path / "mine.yaml") == {"search": {"head.mu": [5, 10]}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            f"{MU}fixed: {{training.epochs: 3, training: {{epochs: 1}}}}",
            "fixed: training.epochs stands twice, as `training.epochs` and `training: {epochs}`; keep one",
        ),
        (
            f"{MU}machines: {{fan: {{backbone: {{width: 1}}, backbone.width: 2}}}}",
            "machines.fan: backbone.width stands twice, as `backbone: {width}` and `backbone.width`",
        ),
        (
            "search: {head: {presets: {a: {mu: 5}, b: {mu: 5}}, search: {a: {sigma2: [0.1, 0.2, 0.1]}}}}",
            "search.head.search.a.sigma2: 0.1 stands twice; keep one",
        ),
        ("search: {head.mu: [5, 10, 5.0]}", "search.head.mu: 5.0 stands twice; keep one"),
        ("search: {head.mu: {values: [5, 5]}}", "search.head.mu: 5 stands twice; keep one"),
        ("search: {head.mu: []}", "search.head.mu = []: should not be empty"),
        ("search: {head.mu: {low: 5, high: inf}}", "search.head.mu.high = 'inf': should be a number"),
        ("search: {head.mu: {low: 5, high: 1}}", "low = 5 is above high = 1"),
        ("search: {head.mu: {low: 5, high: 9, step: 0}}", "step = 0 should be greater than 0"),
        (f"{MU}fixed: {{head.sigma2: inf}}", "head.sigma2 = 'inf': should be a finite number"),
        (f"{MU}fixed: {{training.epochs: yes}}", "training.epochs = True: should be a number"),
        (f"{MU}trials: on", "trials = True: should be a number"),
        ("search: {head.mu: [5, true]}", "search.head.mu can be True: should be a number"),
        (f"{MU}fixed: {{trainin.epochs: 3}}", "no such setting; did you mean training?"),
    ],
)
def test_a_space_says_nothing_twice_and_no_number_that_is_none(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_space(str(path))
    assert said in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_whole_numbers_beyond_any_float_are_told(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"search: {{head.mu: {{low: 5, high: {10**400}}}}}")
    with pytest.raises(UsageError, match=r"head\.mu"):
        read_space(str(path))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["head.mu=5", "head.mu=7"], "--set head.mu=7: head.mu is set already, to 5; keep one"),
        (
            ["training={epochs: 3}", "training.epochs=4"],
            "--set: training.epochs stands twice, as `training: {epochs}` and `training.epochs`; keep one",
        ),
        (["training.epochs=010"], "--set training.epochs=010: line 1: 010 is 8 in YAML"),
        (["head.mu=.inf"], "--set head.mu=.inf: line 1: .inf is no finite number"),
    ],
)
def test_set_is_as_strict(words: list[str], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_settings(words)
    assert said in str(caught.value)
