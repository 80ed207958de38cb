"""The page of a folder of results: strangest recordings first, to look and to listen.

It needs nothing but the files beside it, and no network.
"""

import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from statistics import median
from string import Template

from humtune.drafts import write_output
from humtune.errors import UsageError
from humtune.names import count, shown
from humtune.runtime.cards import called, card, date, detail_path, drawn, kind
from humtune.runtime.charts import MOST, Point, chart, compressed
from humtune.runtime.exhibits import Exhibit, make_exhibit, read_exhibit, remove_exhibits
from humtune.runtime.healthy import Healthy
from humtune.runtime.labels import Label, read_labels
from humtune.runtime.log import Entry, LogReader
from humtune.runtime.results import DETAILS
from humtune.runtime.scorer import Scorer
from humtune.sounds.parallel import map_in_order

PAGE = "index.html"
SHOWN = 20  # recordings with pictures and sound
RECENT = 2000  # recordings that the page knows of, the newest results
_OURS = b'<p id="saving"'  # in each page, and in no name: there quotes are escaped
# Before and after the labels in the page; no name has them: there < is escaped.
_LABELS = b'<script type="application/json" id="labels">', b"</script>"


class Recent:
    """The last results of the newest recordings in a folder's log, of which each line is read once.

    All of it is read again where a file of it was taken away or replaced: its recordings leave.
    """

    def __init__(self, folder: Path) -> None:
        self._log = LogReader(folder)
        self._last: dict[tuple[str, str], Entry] = {}

    def strangest(self) -> list[Entry]:
        """As they are now, strangest first."""
        if self._log.rewind():
            self._last.clear()
        for entry in self._log.results():
            self._last.pop((entry.machine, entry.file), None)
            self._last[entry.machine, entry.file] = entry
            if len(self._last) > RECENT:
                del self._last[next(iter(self._last))]
        return sorted(
            self._last.values(),
            key=lambda entry: (entry.anomaly, entry.scale.strangeness(entry.score)),
            reverse=True,
        )


def update_page(
    folder: Path,
    scorer: Scorer,
    healthy: Sequence[Healthy],
    *,
    recent: Recent | None = None,
    quiet: bool = False,
) -> Path:
    """Look closely at the strangest recordings of a model that haven't been, and write the page.

    What there is of recordings that the page no longer shows is removed. `recent` is what was read of the
    log for the page before; None: nothing.
    """
    info = scorer.info
    entries = (recent or Recent(folder)).strangest()
    closer = entries[:SHOWN]
    this = info.machine, info.trial, scorer.digest
    own = [entry for entry in closer if (entry.machine, entry.trial, entry.model or scorer.digest) == this]
    new = [entry for entry in own if read_exhibit(entry, detail_path(folder, entry)) is None]

    def look(entry: Entry) -> Exhibit | None:
        return make_exhibit(entry, scorer, healthy, detail_path(folder, entry))

    for _ in map(look, new) if quiet else map_in_order(look, new, title="a closer look at the strangest"):
        pass
    remove_exhibits(folder / DETAILS, but={detail_path(folder, entry).name for entry in closer})
    return write_page(folder, entries, info.sample_rate)


def write_page(folder: Path, entries: Sequence[Entry], rate: int) -> Path:
    """Write the page of the strangest of a folder's log, with what exhibits there are.

    `rate` is that of the models, in Hz. UsageError where it can't be written, or another page is there.
    """
    check_page(folder)
    labels = read_labels(folder)
    machines = sorted({entry.machine for entry in entries})
    total = count(len(entries), "recording")
    title = ": ".join(filter(None, (", ".join(map(shown, machines)), total)))
    alarms = sum(entry.anomaly for entry in entries)
    several = len(machines) > 1
    cards = [card(folder, entry, rate, several=several) for entry in entries[:SHOWN]]
    text = Template((files("humtune.runtime") / "page.html").read_text("utf-8")).substitute(
        title=escape(title),
        summary=f"{alarms} of {total} above the limit, strangest first. "
        f"Scored until {date(max(entry.time for entry in entries))}."
        if entries
        else "Nothing has been scored yet.",
        trend=_trend(entries),
        cards="\n".join(cards),
        others=_others(entries[SHOWN:]),
        labels=_script(labels),
    )
    return write_output(folder / PAGE, text.encode(errors="replace"))


def check_page(folder: Path) -> None:
    """UsageError where a folder has a page of the same name that is none of recordings."""
    path = folder / PAGE
    try:
        if _OURS in path.read_bytes():
            return
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise UsageError(f"{path}: can't be read ({error.strerror or error})") from error
    raise UsageError(f"{path}: a page of something else stands there; take another --out, or --no-page")


def with_labels(page: bytes, labels: Mapping[str, Label]) -> bytes:
    """A page as it is with other labels: those given since it was written."""
    start, end = _LABELS
    head, found, rest = page.partition(start)
    if not found:  # a page of before they stood there
        return page
    return head + start + _script(labels).encode() + end + rest.partition(end)[2]


def _trend(entries: Sequence[Entry]) -> str:
    """Multiples of the limit over the days; nothing where there are fewer than two points in time."""
    known = [(entry.recorded or entry.time, entry) for entry in entries if entry.times_limit is not None]
    first, last = (end((when for when, _ in known), default=0.0) for end in (min, max))
    if last <= first:
        return ""
    points, days = [], dict[str, list[Point]]()
    step = -(-len(known) // MOST)  # of so many, every alarm is drawn, and some of the others
    for i, (when, entry) in enumerate(known):
        name = f"{shown(Path(entry.file).name)}: {entry.scale.shown(entry.score)}"
        point = Point((when - first) / (last - first), drawn(entry, entry.score), name, kind(entry))
        days.setdefault(date(when)[:10], []).append(point)
        if entry.anomaly or not i % step:
            points.append(point)
    few = "" if step == 1 else f" (of those below the limit one in {step})"
    return chart(
        f"All of them by time of recording{few}, and the median of each day; logarithmic",
        sorted((median(point.x for point in own), median(point.y for point in own)) for own in days.values()),
        limit=compressed(1.0),
        ends=(date(first), date(last)),
        points=points,
    )


def _others(entries: Sequence[Entry]) -> str:
    if not entries:
        return ""
    rows = "\n".join(
        f"<tr><td>{entry.scale.shown(entry.score)}</td><td>{called(entry)}</td>"
        f"<td>{date(entry.recorded or entry.time)}</td></tr>"
        for entry in entries
    )
    head = "<tr><th>score</th><th>recording</th><th>time</th></tr>"
    count = f"{len(entries)} less strange"
    return f"<details><summary>{count}</summary><table>{head}\n{rows}</table></details>"


def _script(labels: Mapping[str, Label]) -> str:
    """As JSON that can't end the script that it stands in: [label, milliseconds since 1970] by recording."""
    said = {file: (label.label, round(1_000 * label.time)) for file, label in labels.items()}
    return json.dumps(said).replace("<", "\\u003c")
