"""What drills count, and the page that tells it."""

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pages import fill

FAULTS = ("killed", "disk full", "I/O error", "read-only", "slow", "two at once")


@dataclass
class Counts:
    """What was tried how often, and what was lost; a long drill may go in pieces, which add up in a file."""

    runs: list[str] = field(default_factory=list)  # the commands that made it
    steps: dict[str, int] = field(default_factory=dict)  # of each command
    tried: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    lost: list[str] = field(default_factory=list)
    searches: Counter[str] = field(default_factory=Counter)

    def keep(self, path: Path) -> None:
        """Add up with what a file holds, there and here."""
        told: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        self.runs = told.get("runs", []) + self.runs
        self.lost = told.get("lost", []) + self.lost
        self.steps = told.get("steps", {}) | self.steps
        self.searches.update(told.get("searches", {}))
        for name, tried in told.get("tried", {}).items():
            self.tried[name].update(tried)
        path.write_text(json.dumps(vars(self), indent=1))


def write_page(path: Path, counts: Counts) -> None:
    """Put the counts into the places that a page keeps for them; its text is written by hand."""
    rows = []
    for name, steps in counts.steps.items():
        lost = sum(line.startswith(f"{name}: ") for line in counts.lost)
        cells = (str(counts.tried[name][fault] or "") for fault in FAULTS)
        rows.append((name, str(steps), *cells, str(lost)))
    met = [(kind, str(count)) for kind, count in counts.tried["search"].items()]
    found = [(what, str(count)) for what, count in counts.searches.items()]
    total = sum(sum(tried.values()) for tried in counts.tried.values())
    told = {
        "commands": _table(("command", "steps", *FAULTS, "lost"), rows),
        "searches": f"{_table(('searches met', 'times'), met)}\n\n{_table(('in the end', ''), found)}"
        if met
        else "",
        "lost": "\n".join(
            [f"Of {total} kills, faults and doubles in all, by so many: {len(counts.lost)}.", *counts.lost]
        ),
        "made by": "\n".join(["```", *counts.runs, "```"]),
    }
    fill(path, {f"drill: {place}": content for place, content in told.items()})


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [header, ("---", *["---:"] * (len(header) - 1)), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
