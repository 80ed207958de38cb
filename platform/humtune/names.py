"""Names that people give: which can work, how a screen shows them, and how a next command writes them.

And how numbers of things are written.
"""

import csv
import os
import shlex
import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING
from unicodedata import category, east_asian_width, normalize

from humtune.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

SOURCE = "./humtune"  # where advice has humtune's own folder; pip takes a wheel's path as well
LONGEST = 200  # bytes: with what humtune adds (anomaly_score_…_section_00_test.csv) a file's name has 255

_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # line ends, escapes, changes of direction, bytes of no alphabet
_JOINERS = "\u200c\u200d"  # of letters, and of emoji


def check_name(name: str, what: str, mend: str) -> None:
    """Raise a UsageError for a name that can't be a file's name and a command's word everywhere."""
    size = len(os.fsencode(name)) if is_text(name) else 0
    reasons = {
        "is empty": not name,
        "holds a slash": "/" in name,
        "begins with a dot, as hidden files do": name.startswith("."),
        "begins with a dash, as options do": name.startswith("-"),
        "begins or ends with a space": name != name.strip(),
        "is not UTF-8": not is_text(name),
        "holds a character that can't be seen": is_text(name) and any(map(_is_hidden, name)),
        f"has {size} bytes, and {LONGEST} can be had": size > LONGEST,
    }
    if wrong := [reason for reason, is_so in reasons.items() if is_so]:
        raise UsageError(f"{what} '{shown(name)}' {wrong[-1]}; {mend}")


def is_text(name: str) -> bool:
    """Whether a name is of letters, not of bytes that belong to no alphabet."""
    return not any(category(letter) == "Cs" for letter in name)


def shown(text: object) -> str:
    """A name as one line that any terminal can print: what can't be seen is escaped."""
    return "".join(ascii(c)[1:-1] if _is_hidden(c) else c for c in str(text))


def count(number: int, thing: str, more: str = "s") -> str:
    """How many there are: "3 clips", "1 clip", "no clips"; `more` is what many end with."""
    return f"{number or 'no'} {thing}{more * (number != 1)}"


def caption(text: str, *, letters: int) -> str:
    """A text for a plot, in lines of so many letters at most."""
    return "\n".join(textwrap.wrap(shown(text), letters))


def shortened(text: object, letters: int) -> str:
    """A name as one line of so many letters at most: what doesn't fit is left out of its middle.

    Both ends tell names apart, which often begin alike and end in a number or a date.
    """
    whole = shown(text)
    if _width(whole) <= letters:
        return whole
    begin, end = "", ""
    for first, last in zip(whole, reversed(whole), strict=True):
        if _width(f"{begin}…{last}{end}") > letters:
            break
        end = last + end
        if _width(f"{begin}{first}…{end}") > letters:
            break
        begin += first
    return f"{begin}…{end}"


def _width(text: str) -> int:
    """How many places of a terminal a text takes."""
    return sum(2 if east_asian_width(letter) in "WF" else 1 for letter in text)


def console(*, stderr: bool = False) -> "Console":
    """A screen that prints names as they are: nothing in them is markup, an emoji's code or highlighted."""
    from rich.console import Console  # here: it takes a while, and who only checks a name needs none

    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def command(verb: str, *words: object, **options: object) -> str:
    """A command of humtune as a shell takes it: `humtune export first --out models`.

    Options that are None or "" are left out. Words that begin with a dash come last, behind `--`.
    """
    plain = [word(text) for text in words]
    said = [
        f"--{name}={word(value)}" if str(value).startswith("-") else f"--{name} {word(value)}"
        for name, value in options.items()
        if value not in (None, "")
    ]
    dashed = any(str(text).startswith("-") for text in words)
    return " ".join(["humtune", verb, *said, "--", *plain] if dashed else ["humtune", verb, *plain, *said])


def split_names(text: str | None) -> list[str] | None:
    """The names in an option, with commas between them; one that holds a comma stands in double quotes."""
    if not text:
        return None
    try:
        [found] = csv.reader([text], skipinitialspace=True, strict=True)
    except csv.Error as error:
        raise UsageError(f"{text!r}: names with commas between them, got {error}") from error
    return [name.strip() for name in found if name.strip()] or None


def join_names(names: Iterable[str]) -> str:
    """Names as `split_names` reads them."""
    return ",".join(
        '"{}"'.format(name.replace('"', '""')) if "," in name or name.startswith('"') else name
        for name in names
    )


def twin(name: str, known: Iterable[str]) -> str:
    """The known name that is meant: this one, or the only one of the same letters.

    é may be one character or two, which nobody sees: what is typed needn't be what a disk has.
    """
    known = set(known)
    same = [other for other in known if normalize("NFC", other) == normalize("NFC", name)]
    return same[0] if name not in known and len(same) == 1 else name


def word(text: object) -> str:
    """A text as one word of a shell."""
    text = str(text)
    if not any(map(_is_hidden, text)):
        return shlex.quote(text)
    return f"$'{''.join(map(_escaped, text))}'"  # as bash and zsh write what can't be seen


def _escaped(letter: str) -> str:
    if _is_hidden(letter):
        return "".join(f"\\x{byte:02x}" for byte in os.fsencode(letter))
    return f"\\{letter}" if letter in "\\'" else letter


def _is_hidden(letter: str) -> bool:
    return category(letter) in _HIDDEN and letter not in _JOINERS
