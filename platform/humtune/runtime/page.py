"""The page of a folder of results: strangest recordings first, to look and to listen.

It needs nothing but the files beside it, and no network.
"""

import csv
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from statistics import median
from string import Template
from urllib.parse import quote

from humtune.drafts import write_whole
from humtune.errors import UsageError
from humtune.names import shown
from humtune.runtime.charts import Point, chart, compressed
from humtune.runtime.exhibits import Exhibit, make_exhibit, read_exhibit, remove_exhibits
from humtune.runtime.healthy import Healthy
from humtune.runtime.labels import CHOICES, Label, read_labels
from humtune.runtime.log import Entry, in_limits, read_log, times_limit
from humtune.runtime.results import DETAILS, detail_name
from humtune.runtime.scorer import Scorer
from humtune.runtime.spectrum import BANDS, band_edges, mel
from humtune.runtime.timeline import clock
from humtune.sounds.parallel import map_in_order

PAGE = "index.html"
SHOWN = 20  # recordings with pictures and sound
RECENT = 2000  # recordings that the page knows of, the newest results
_TICKS = (250, 1000, 2000, 4000)  # Hz
_POINTS = 500  # of a chart
_OURS = b'<p id="saving"'  # in each page, and in no name: there quotes are escaped
# Before and after the labels in the page; no name has them: there < is escaped.
_LABELS = b'<script type="application/json" id="labels">', b"</script>"


def strangest(entries: Iterable[Entry]) -> list[Entry]:
    """The last results of the newest recordings, strangest first."""
    last: dict[tuple[str, str], Entry] = {}
    for entry in entries:
        last.pop((entry.machine, entry.file), None)
        last[entry.machine, entry.file] = entry
        if len(last) > RECENT:
            del last[next(iter(last))]
    return sorted(last.values(), key=lambda entry: (entry.anomaly, _strangeness(entry)), reverse=True)


def update_page(folder: Path, scorer: Scorer, healthy: Sequence[Healthy], *, quiet: bool = False) -> Path:
    """Look closely at the strangest recordings of a model that haven't been, and write the page.

    What there is of recordings that the page no longer shows is removed.
    """
    info = scorer.info
    entries = strangest(read_log(folder))
    closer = entries[:SHOWN]
    this = info.machine, info.trial, scorer.digest
    own = [entry for entry in closer if (entry.machine, entry.trial, entry.model or scorer.digest) == this]
    new = [entry for entry in own if read_exhibit(entry, _base(folder, entry)) is None]

    def look(entry: Entry) -> Exhibit | None:
        return make_exhibit(entry, scorer, healthy, _base(folder, entry))

    for _ in map(look, new) if quiet else map_in_order(look, new, title="a closer look at the strangest"):
        pass
    remove_exhibits(folder / DETAILS, but={_base(folder, entry).name for entry in closer})
    return write_page(folder, entries, info.sample_rate)


def write_page(folder: Path, entries: Sequence[Entry], rate: int) -> Path:
    """Write the page of the strangest of a folder's log, with what exhibits there are.

    `rate` is that of the models, in Hz. UsageError where it can't be written, or another page is there.
    """
    check_page(folder)
    labels = read_labels(folder)
    machines = sorted({entry.machine for entry in entries})
    title = f"{', '.join(map(shown, machines))}: {_count(entries, 'recording')}"
    alarms = sum(entry.anomaly for entry in entries)
    several = len(machines) > 1
    cards = [_card(folder, entry, rate, several=several) for entry in entries[:SHOWN]]
    text = Template((files("humtune.runtime") / "page.html").read_text("utf-8")).substitute(
        title=escape(title),
        summary=f"{alarms} of {_count(entries, 'recording')} above the limit, strangest first. "
        f"Scored until {_when(max((entry.time for entry in entries), default=0.0))}.",
        trend=_trend(entries),
        cards="\n".join(cards),
        others=_others(entries[SHOWN:]),
        labels=_script(labels),
    )
    try:
        write_whole(folder / PAGE, text.encode(errors="replace"))
    except OSError as error:
        raise UsageError(f"{folder / PAGE}: can't be written ({error.strerror or error})") from error
    return folder / PAGE


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


def _base(folder: Path, entry: Entry) -> Path:
    """How the paths begin of what there is of an entry beside the log."""
    return folder / DETAILS / detail_name(entry.file, entry.model)


def _card(folder: Path, entry: Entry, rate: int, *, several: bool) -> str:
    base = _base(folder, entry)
    name, exhibit = base.name, read_exhibit(entry, base)
    about = [
        *([shown(entry.machine)] if several else []),
        f"recorded {_when(entry.recorded)}" if entry.recorded else f"scored {_when(entry.time)}",
        clock(entry.seconds) + " long",
        *entry.notes,
        shown(entry.file),
    ]
    parts = [
        f'<h2><span class="times">{_level(entry, entry.score)}</span>{_name(entry)}</h2>',
        f'<p class="small">{escape("; ".join(about))}</p>',
        _exhibit(entry, exhibit, f"{DETAILS}/{quote(name)}", rate)
        if exhibit
        else '<p class="small">No closer look: it is gone, or another model has scored it.</p>',
        _course(entry, base),
        '<div class="buttons" role="group" aria-label="What is it?">',
        *(f'<button type="button" value="{choice}">{choice}</button>' for choice in CHOICES),
        "</div>",
    ]
    data = f'data-id="{escape(name)}" data-file="{escape(json.dumps(entry.file))}"'
    inside = "\n".join(filter(None, parts))
    return f'<article class="{_kind(entry)}" tabindex="0" {data}>\n{inside}\n</article>'


def _exhibit(entry: Entry, exhibit: Exhibit, place: str, rate: int) -> str:
    """Pictures and players of the strange stretch, and of the nearest healthy recording beside it."""
    at = entry.start
    stretch = f"{clock(at + exhibit.start)} to {clock(at + exhibit.end)}"
    whole = exhibit.end - exhibit.start >= exhibit.seconds
    said = "No part of it stands out in time." if whole else f"Strangest from {stretch}."
    if not entry.anomaly:
        said = "It is below the limit."
    elif exhibit.healthy is None:
        said = "The model brings no healthy sound to compare it with; export it again."
    mark = "" if whole else _box("stretch", exhibit.start / exhibit.seconds, exhibit.end / exhibit.seconds)
    most = max(exhibit.bands, default=0.0)
    bars = ""
    if most > 0:
        edges = band_edges(rate)
        band = exhibit.bands.index(most)
        falls = f"{_level(entry, exhibit.score)} to {_level(entry, exhibit.score - most)}"
        said += (
            f" In frequency strangest at {_hertz(edges[band])} to {_hertz(edges[band + 1])}: with that band "
            f"as in the healthy recording, its score falls from {falls}."
        )
        bars = "".join(
            f'<i style="bottom:{100 * i / BANDS + 0.8:.1f}%;height:{100 / BANDS - 1.6:.1f}%;'
            f'width:{100 * max(fall, 0) / most:.0f}%"></i>'
            for i, fall in enumerate(exhibit.bands)
        )
    elif exhibit.bands:
        said += " No band of it stands out alone."
    both = "both " if exhibit.healthy else ""
    louder = "" if exhibit.gain < 1.1 else f", {both}made {exhibit.gain:.1f} times louder"
    played = f"{clock(at + exhibit.played[0])} to {clock(at + exhibit.played[1])}{louder}"
    strange = _figure(place, mark, bars, at, exhibit.seconds, rate, f"This recording, {played}", said)
    if exhibit.healthy is None:
        return f'<div class="pair">{strange}</div>'
    healthy = _figure(f"{place}.healthy", "", None, None, 0, rate, "The nearest healthy one", "")
    return f'<div class="pair">{strange}{healthy}</div>'


def _figure(
    place: str, mark: str, bars: str | None, at: float | None, seconds: float, rate: int, name: str, said: str
) -> str:
    top = float(band_edges(rate, 1)[1])
    ticks = [hertz for hertz in _TICKS if hertz < top]
    scale = "".join(f'<span style="bottom:{100 * mel(h) / mel(top):.1f}%">{_hertz(h)}</span>' for h in ticks)
    plain = " plain" if bars is None else ""
    column = "" if bars is None else f'<div class="bands" title="how far the score falls">{bars}</div>'
    ends = (
        ""
        if at is None
        else f'<div class="clock"><span>{clock(at)}</span><span>{clock(at + seconds)}</span></div>'
    )
    return (
        f'<figure><div class="plot{plain}"><div class="hertz">{scale}</div><div class="sound">'
        f'<img src="{place}.png" alt="Spectrogram: {escape(name)}">{mark}</div>{column}</div>{ends}'
        f'<figcaption>{escape(name)}<audio controls preload="none" src="{place}.flac" '
        f'aria-label="{escape(name)}"></audio>{escape(said)}</figcaption></figure>'
    )


def _course(entry: Entry, base: Path) -> str:
    """A long recording's score over time, with the limit."""
    if entry.windows < 2:
        return ""
    try:
        with base.with_name(f"{base.name}.windows.csv").open(newline="") as stream:
            rows = [(float(row["start_seconds"]), float(row["score"])) for row in csv.DictReader(stream)]
    except (OSError, ValueError, KeyError):
        return ""
    points = [((start + entry.window / 2) / entry.seconds, _drawn(entry, score)) for start, score in rows]
    step = -(-len(points) // _POINTS)  # of so many, the strangest is drawn
    return chart(
        f"Score over time, {entry.windows} windows of {entry.window:g} s; logarithmic",
        [max(points[i : i + step], key=lambda point: point[1]) for i in range(0, len(points), step)],
        limit=_drawn(entry, entry.limit),
        ends=(clock(0), clock(entry.seconds)),
    )


def _trend(entries: Sequence[Entry]) -> str:
    """Multiples of the limit over the days; nothing where there are fewer than two points in time."""
    known = [(entry.recorded or entry.time, entry) for entry in entries if entry.times_limit is not None]
    first, last = (end((when for when, _ in known), default=0.0) for end in (min, max))
    if last <= first:
        return ""
    points, days = [], dict[str, list[Point]]()
    step = -(-len(known) // _POINTS)  # of so many, every alarm is drawn, and some of the others
    for i, (when, entry) in enumerate(known):
        name = f"{shown(Path(entry.file).name)}: {_level(entry, entry.score)}"
        point = Point((when - first) / (last - first), _drawn(entry, entry.score), name, _kind(entry))
        days.setdefault(_when(when)[:10], []).append(point)
        if entry.anomaly or not i % step:
            points.append(point)
    few = "" if step == 1 else f" (of those below the limit one in {step})"
    return chart(
        f"All of them by time of recording{few}, and the median of each day; logarithmic",
        sorted((median(point.x for point in own), median(point.y for point in own)) for own in days.values()),
        limit=compressed(1.0),
        ends=(_when(first), _when(last)),
        points=points,
    )


def _others(entries: Sequence[Entry]) -> str:
    if not entries:
        return ""
    rows = "\n".join(
        f"<tr><td>{_level(entry, entry.score)}</td><td>{_name(entry)}</td>"
        f"<td>{_when(entry.recorded or entry.time)}</td></tr>"
        for entry in entries
    )
    head = "<tr><th>score</th><th>recording</th><th>time</th></tr>"
    count = f"{len(entries)} less strange"
    return f"<details><summary>{count}</summary><table>{head}\n{rows}</table></details>"


def _level(entry: Entry, score: float) -> str:
    """A score on the entry's scale: as a multiple of its limit, where it has one."""
    times = times_limit(score, usual=entry.usual, limit=entry.limit)
    return f"{score:.4g}" if times is None else in_limits(times)


def _strangeness(entry: Entry) -> float:
    return entry.score if entry.times_limit is None else entry.times_limit


def _drawn(entry: Entry, score: float) -> float:
    """A score as charts have it: as a multiple of the limit, which is compressed, where there are such."""
    times = times_limit(score, usual=entry.usual, limit=entry.limit)
    return score if times is None else compressed(times)


def _name(entry: Entry) -> str:
    return escape(shown(Path(entry.file).name))


def _kind(entry: Entry) -> str:
    return "anomaly" if entry.anomaly else "normal"


def _box(kind: str, start: float, end: float) -> str:
    return f'<div class="{kind}" style="left:{100 * start:.1f}%;width:{100 * (end - start):.1f}%"></div>'


def _hertz(hertz: float) -> str:
    return f"{hertz:.0f} Hz" if hertz < 1000 else f"{hertz / 1000:.1f} kHz".replace(".0 ", " ")


def _when(seconds: float | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds or 0.0))


def _count(items: Sequence[object], what: str) -> str:
    return f"1 {what}" if len(items) == 1 else f"{len(items)} {what}s"


def _script(labels: Mapping[str, Label]) -> str:
    """As JSON that can't end the script that it stands in: [label, milliseconds since 1970] by recording."""
    said = {file: (label.label, round(1_000 * label.time)) for file, label in labels.items()}
    return json.dumps(said).replace("<", "\\u003c")
