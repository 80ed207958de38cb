"""A recording on the page of results: what is strange about it, to look and to listen, and to label it."""

import csv
import json
import time
from html import escape
from pathlib import Path
from urllib.parse import quote

from humtune.names import shown
from humtune.runtime.charts import MOST, chart, compressed
from humtune.runtime.exhibits import Exhibit, read_exhibit
from humtune.runtime.labels import CHOICES
from humtune.runtime.log import Entry
from humtune.runtime.results import DETAILS, detail_name
from humtune.runtime.spectrum import BANDS, band_edges, mel
from humtune.runtime.timeline import clock

_TICKS = (250, 1000, 2000, 4000)  # Hz


def card(folder: Path, entry: Entry, rate: int, *, several: bool) -> str:
    """An entry as HTML, with its exhibit where there is one; `rate` is the models', in Hz."""
    base = detail_path(folder, entry)
    name, exhibit = base.name, read_exhibit(entry, base)
    about = [
        *([shown(entry.machine)] if several else []),
        f"recorded {date(entry.recorded)}" if entry.recorded else f"scored {date(entry.time)}",
        clock(entry.seconds) + " long",
        *entry.notes,
        shown(entry.file),
    ]
    parts = [
        f'<h2><span class="times">{entry.scale.shown(entry.score)}</span>{called(entry)}</h2>',
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
    return f'<article class="{kind(entry)}" tabindex="0" {data}>\n{inside}\n</article>'


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
        falls = f"{entry.scale.shown(exhibit.score)} to {entry.scale.shown(exhibit.score - most)}"
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
    beside = " like the healthy one" if exhibit.healthy else ""
    louder = "" if exhibit.gain < 1.1 else f", made {exhibit.gain:.1f} times louder{beside}"
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
    points = [((start + entry.window / 2) / entry.seconds, drawn(entry, score)) for start, score in rows]
    step = -(-len(points) // MOST)  # of so many, the strangest is drawn
    return chart(
        f"Score over time, {entry.windows} windows of {entry.window:g} s; logarithmic",
        [max(points[i : i + step], key=lambda point: point[1]) for i in range(0, len(points), step)],
        limit=drawn(entry, entry.limit),
        ends=(clock(0), clock(entry.seconds)),
    )


def detail_path(folder: Path, entry: Entry) -> Path:
    """How the paths begin of what there is of an entry beside the log."""
    return folder / DETAILS / detail_name(entry.file, entry.model)


def drawn(entry: Entry, score: float) -> float:
    """A score as charts have it: as a multiple of the limit, which is compressed, where there are such."""
    times = entry.scale.times(score)
    return score if times is None else compressed(times)


def called(entry: Entry) -> str:
    """The name of an entry's file, as HTML."""
    return escape(shown(Path(entry.file).name))


def kind(entry: Entry) -> str:
    """Its class in the style."""
    return "anomaly" if entry.anomaly else "normal"


def date(seconds: float | None) -> str:
    """Seconds since 1970 as date and time of day."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds or 0.0))


def _box(kind: str, start: float, end: float) -> str:
    return f'<div class="{kind}" style="left:{100 * start:.1f}%;width:{100 * (end - start):.1f}%"></div>'


def _hertz(hertz: float) -> str:
    return f"{hertz:.0f} Hz" if hertz < 1000 else f"{hertz / 1000:.1f} kHz".replace(".0 ", " ")
