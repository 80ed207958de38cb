"""Names that a person may give a search, a machine or a folder, and that some language takes for its own.

FILE_NAMES are those that a file can have.
"""

HOSTILE_NAMES: tuple[str, ...] = (
    "two words",
    " edge ",
    "o'neill",
    'the "big" one',
    "100%",
    "%41%2e",  # quoted once too often it is A.
    "%s",
    "what?",
    "a?b=c",
    "pump #3",
    "old [bold]final[/bold]",
    "[/]",  # rich: an end of nothing
    "[red",
    "a:b",
    "sqlite:",
    "Bob's pump",
    "a & b",
    "$HOME",
    "`id`",
    "a;b",
    "-x",
    "--help",
    "*",
    "[0-9]*",
    "~",
    "back\\slash",
    "a|b",
    "a,b",
    "a=b",
    "{x}",
    "{0}",
    "<b>bold</b>",
    "<b>",
    "[bold]",
    "_*x*_",
    "cafe\u0301",  # é of two characters
    "ポンプ",
    "fan 🌀",
    "dot.",
    "v1.2",
    "a-00001",
    "null",
    "1e3",
    "x" * 200,
)

FILE_NAMES: tuple[str, ...] = tuple(name for name in HOSTILE_NAMES if "/" not in name)
