"""What a name can be, how it is shown, and how a next command writes it."""

import html
import os
import re
import shlex
import subprocess

import pytest
from hostile import HOSTILE_NAMES
from rich.cells import cell_len

from humtune.errors import UsageError
from humtune.formatting.text import code, escaped, to_html, to_markdown
from humtune.names import (
    caption,
    check_name,
    command,
    console,
    count,
    join_names,
    shortened,
    shown,
    split_names,
    twin,
)
from humtune.report.table import escape

REFUSED = {" edge ", "-x", "--help"}
UNSEEN = ("a\nb", "a\x1b[31mb", "a\tb'c\\", os.fsdecode(b"caf\xe9 1.wav"), "a\u202eb")


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_name_works_or_is_refused_with_the_mend(name: str) -> None:
    if name in REFUSED or "/" in name:
        with pytest.raises(UsageError, match=r"; choose another$"):
            check_name(name, "a name", "choose another")
    else:
        check_name(name, "a name", "choose another")


@pytest.mark.parametrize(
    ("name", "why"),
    {
        "": "'' is empty",
        "a/b": "holds a slash",
        ".a": "begins with a dot",
        "a\nb": r"'a\\nb' holds a character that can't be seen",
        "a\0b": r"'a\\x00b' holds a character that can't be seen",
        "a ": "begins or ends with a space",
        "caf\udce9": r"'caf\\udce9' is not UTF-8",
        "é" * 101: "has 202 bytes, and 200 can be had",
    }.items(),
)
def test_a_name_that_can_not_work_is_refused(name: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        check_name(name, "a name", "choose another")


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_command_gives_its_words_back(name: str) -> None:
    from click.parser import OptionParser  # which any command of humtune reads its words with

    told = shlex.split(command("show", name, "b", storage=name, out=None))
    assert told[:2] == ["humtune", "show"]
    parser = OptionParser()
    parser.add_option(obj=_option(), dest="storage", opts=["--storage"])
    found, words, _ = parser.parse_args(told[2:])
    assert (found, words) == ({"storage": name}, [name, "b"])


def _option():
    from click import Option

    return Option(["--storage"])


@pytest.mark.parametrize("name", [*HOSTILE_NAMES, *UNSEEN])
def test_a_shell_gives_the_words_back(name: str) -> None:
    line = command("score", name).replace("humtune score", "printf %s\\\\n", 1).replace(" -- ", " ", 1)
    line = line.replace("printf %s\\\\n", "printf '%s\\0'") if name not in REFUSED else "true"
    done = subprocess.run(["bash", "-c", line], capture_output=True, check=True)
    assert name in REFUSED or done.stdout == os.fsencode(name) + b"\0"
    assert shown(command("score", name)) == command("score", name), "a line that any terminal can print"


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_screen_shows_a_name_whole(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    from rich.table import Table

    console().print(name, soft_wrap=True)
    assert capsys.readouterr().out == f"{name}\n"
    table = Table(title="names")
    table.add_column(name, overflow="fold")
    table.add_row(name)
    console().print(table)
    squeezed = "".join(c for c in capsys.readouterr().out if c not in " │┃\n")
    assert squeezed.count(name.replace(" ", "").replace("\n", "")) == 2


def test_names_with_commas_between_them() -> None:
    names = [name for name in HOSTILE_NAMES if name == name.strip()]
    assert split_names(join_names(names)) == names
    assert split_names("fan, valve,") == ["fan", "valve"]
    assert split_names("") is split_names(None) is split_names(" , ") is None
    assert join_names(["fan", "valve"]) == "fan,valve"


def test_one_letter_or_two_is_the_same_name() -> None:
    assert twin("caf\u00e9", ["cafe\u0301", "fan"]) == "cafe\u0301"
    assert twin("caf\u00e9", ["cafe\u0301", "caf\u00e9"]) == "caf\u00e9"
    assert twin("cafe", ["cafe\u0301"]) == "cafe"


def test_what_can_not_be_seen_is_escaped() -> None:
    assert shown("a\nb\x1b[1m\udce9") == "a\\nb\\x1b[1m\\udce9"
    assert shown("ポンプ　1 👩‍🏭 é") == "ポンプ　1 👩‍🏭 é"


def test_a_caption_has_lines_of_few_letters() -> None:
    assert caption("x" * 25 + " y", letters=10).splitlines() == ["x" * 10, "x" * 10, "xxxxx y"]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_page_shows_a_name_whole(name: str) -> None:
    table = to_markdown(["machine", "of"], [[escaped(name), "1"]])
    text = f"# {escaped(name)}\n\n{table}\n\nIn {code(name)}."
    page = to_html(text, {})
    plain = [html.unescape(re.sub("<[^>]*>", "", part)) for part in page.split("<body>")[1].splitlines()]
    plain = [line for line in plain if line]
    wanted = name.strip()
    assert plain[0] == wanted
    assert plain.count(wanted) == 2, plain
    assert html.unescape(re.search("<title>(.*)</title>", page)[1]) == wanted
    assert html.unescape(re.search("<code>(.*)</code>", page)[1]) in (name, wanted)


def test_latex_has_a_sign_for_every_character_of_its_own() -> None:
    assert escape(r"\_&%$#{}~^<>|`") == (
        r"\textbackslash{}\_\&\%\$\#\{\}\textasciitilde{}\textasciicircum{}"
        r"\textless{}\textgreater{}\textbar{}\textasciigrave{}"
    )


def test_numbers_of_things():
    assert [count(n, "clip") for n in (0, 1, 2)] == ["no clips", "1 clip", "2 clips"]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
@pytest.mark.parametrize("letters", [7, 12, 300])
def test_a_shortened_name_keeps_both_ends(name: str, letters: int) -> None:
    text = f"{name} 2026-11-07.wav"
    short = shortened(text, letters)
    assert cell_len(short) <= letters
    if cell_len(text) <= letters:
        assert short == shown(text)
        return
    begin, _, end = short.partition("…")
    assert shown(text).startswith(begin)
    assert text.endswith(end)
    assert len(end) >= (letters - 1) // 2 - 1
    assert end
