"""The table as LaTeX (booktabs), machines as columns."""

from collections.abc import Sequence

from humtune.formatting.columns import lines as table_lines
from humtune.results.rows import Row

_SIGNS = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "`": r"\textasciigrave{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "^": r"\textasciicircum{}",
    "Ω": r"$\Omega$",
    "±": r"$\pm$",
    "–": "--",
}


def to_tex(search: str, rows: Sequence[Row], others: Sequence[Row] = ()) -> str:
    r"""The rows as a tabular to be included; figures in percent. Needs \usepackage{booktabs}."""
    lines = [
        "% needs \\usepackage{booktabs}",
        f"% search {search}; figures in percent",
        rf"\begin{{tabular}}{{l{'r' * len(rows)}}}",
        r"\toprule",
        _line(["", *(row.machine for row in rows)]),
        r"\midrule",
    ]
    for name, values, bold in table_lines(rows, others):
        cells = [escape(cell) for cell in (name, *values)]
        if bold:
            cells = [rf"\textbf{{{cell}}}" for cell in cells]
        lines.append(" & ".join(cells) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def escape(text: str) -> str:
    """Text as LaTeX shows it."""
    return "".join(_SIGNS.get(sign, sign) for sign in text)


def _line(cells: Sequence[str]) -> str:
    return " & ".join(map(escape, cells)) + r" \\"
