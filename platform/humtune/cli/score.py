"""score and review: what an exported model says of recordings, and a page to label them."""

from contextlib import nullcontext
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from humtune.cli.options import Channel, FalseAlarms, ModelFolder, loading, read_channel, read_share

if TYPE_CHECKING:
    from collections.abc import Callable

    from humtune.runtime.healthy import Healthy


def score(
    model: ModelFolder,
    recordings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE|DIR|PATTERN|-…",
            help="Sound files, folders of them, quoted patterns; -: a list on standard input.",
        ),
    ] = None,
    watch: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Score what is there and what arrives, until Ctrl-C.")
    ] = None,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Gets the results, beside those that are there.")
    ] = Path("scores"),
    false_alarms: FalseAlarms = None,
    window: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Scored at a time; else the model's, which its limit is for."),
    ] = None,
    channel: Channel = None,
    page: Annotated[bool, typer.Option(help="Write a page to look and listen, index.html.")] = True,
    on_alarm: Annotated[
        str | None,
        typer.Option(metavar="CMD", help="Run for alarms, without a shell; HUMTUNE_PATH … tell it of one."),
    ] = None,
    alarm_every: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="From one such command to the next, at least.")
    ] = 60.0,
    threads: Annotated[int, typer.Option(min=0, help="Recordings at a time; 0: as many as cores.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines, each as it is known.")] = False,
) -> None:
    """Score recordings of any length and rate; decisions and scores are written as DCASE files.

    Long ones are scored in windows, with a table of them. Exits with 3 where something was anomalous, else
    with 1 where a recording could not be read or a result not be written, else with 0.
    Example: humtune score models/fan new-recordings/ --false-alarms 1%
    """
    from humtune.errors import HumtuneError, UsageError, in_a_line

    with loading():
        from humtune.runtime.alarms import Alarms
        from humtune.runtime.info import MODEL, read_info
        from humtune.runtime.outcomes import FAILED, Scored, Tally
        from humtune.runtime.recordings import Listener
        from humtune.runtime.refresher import Refresher
        from humtune.runtime.results import ResultFiles
        from humtune.runtime.scorer import Scorer
        from humtune.runtime.watch import Marks, arrivals, mark

    if not recordings and watch is None:
        raise UsageError("nothing to score: name files, folders or patterns, - for a list, or --watch DIR")
    rate = None if false_alarms is None else read_share(false_alarms)
    own = read_info(model).with_threshold(rate)
    info = own.with_window(window)
    if channel is not None:  # unsaid, as the model was trained
        info = info.model_copy(update={"channel": read_channel(channel)})
    listener = Listener(Scorer(info, model / MODEL), workers=threads or None)
    from humtune.cli.scored import Teller, outcomes
    from humtune.cli.watched import told

    tally, interrupted, lost = Tally(), False, list[str]()

    @cache
    def healthy() -> "list[Healthy]":
        from humtune.runtime.healthy import read_healthy

        return read_healthy(model, info.sample_rate)

    def show(*, live: bool = False, looks: bool = True) -> list[Path]:
        if not page:
            return []
        from humtune.runtime.page import update_page, write_page

        if not looks:
            return [write_page(out, recent.strangest(), info.sample_rate)]
        return [update_page(out, listener.scorer, healthy(), recent=recent, quiet=live)]

    def written(work: "Callable[[], list[Path]]") -> list[Path]:
        """What some work has written; where it can't, that is told once, and no alarm is lost."""
        try:
            return work()
        except (HumtuneError, OSError) as error:
            line = in_a_line(error) if isinstance(error, OSError) else str(error)
            if line not in lost:
                lost.append(line)
                teller.warn(line)
            return []

    if page:
        from humtune.runtime.page import Recent, check_page

        check_page(out)
        recent = Recent(out)
    teller = Teller(info, as_json=as_json, live=watch is not None)
    alarms = None if on_alarm is None else Alarms(on_alarm, info, teller.warn, every=alarm_every)
    with ResultFiles(out, info, model=listener.scorer.digest) as results:
        teller.begin(own)
        known = Marks(() if watch is None else (mark(*file) for file in results.seen()))
        arriving = None if watch is None else arrivals(watch, known)
        with (
            Refresher(results.write_tables, teller.warn) as tables,  # the more there is, the seldomer
            Refresher(partial(show, live=True), teller.warn) as pages,
            alarms or nullcontext(),
            nullcontext() if watch is None else told(teller, tally, watch, known=len(known)),
        ):
            try:
                for outcome in outcomes(listener, recordings or [], arriving):
                    tally.add(outcome)
                    if alarms and isinstance(outcome, Scored) and outcome.is_anomaly:
                        alarms.add(outcome)
                    teller.tell(outcome, written(partial(results.write, outcome)))
                    if watch is not None:
                        tables.news()
                        pages.news()
            except KeyboardInterrupt:
                interrupted = watch is None  # a watch has no other end
        made = (results.write_tables, partial(show, looks=not interrupted)) if tally.scored else ()
        teller.end(tally, [file for make in made for file in written(make)])
    raise typer.Exit(130 if interrupted else tally.exit_code or (FAILED if lost else 0))


def review(
    results: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of results of `humtune score`.")],
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0: any free one.")] = 0,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
) -> None:
    """Show the results of `humtune score` on a page whose buttons write labels.csv, until Ctrl-C.

    The page is this computer's alone. Example: humtune review scores
    """
    import webbrowser

    from humtune.runtime.labels import LABELS
    from humtune.runtime.review import Review

    with Review(results, port) as server:
        typer.echo(f"{server.address} shows {results}; labels go to {results / LABELS}; Ctrl-C ends it")
        if browser:
            webbrowser.open(server.address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            typer.echo("", err=True)
