"""score, review and threshold: what an exported model says of recordings, and what thresholds are worth."""

from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from humtune.cli.options import FIT, Channel, read_channel

if TYPE_CHECKING:
    from humtune.runtime.healthy import Healthy

ModelFolder = Annotated[Path, typer.Argument(metavar="MODEL", help="A machine's folder of `humtune export`.")]
FalseAlarms = Annotated[
    float | None,
    typer.Option(metavar="SHARE", help="Another threshold: one that so many normal recordings exceed."),
]
FitName = Annotated[str | None, FIT]


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
    fit: FitName = None,
    window: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Scored at a time; else the model's, which its limit is for."),
    ] = None,
    channel: Channel = None,
    page: Annotated[bool, typer.Option(help="Write a page to look and listen, index.html.")] = True,
    threads: Annotated[int, typer.Option(min=0, help="Recordings at a time; 0: as many as cores.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines, each as it is known.")] = False,
) -> None:
    """Score recordings of any length and rate; decisions and scores are written as DCASE files.

    Long ones are scored in windows, with a table of them. Exits with 3 where something was anomalous, else
    with 1 where a recording could not be read, else with 0.
    Example: humtune score models/fan new-recordings/ --false-alarms 0.01
    """
    from humtune.errors import UsageError
    from humtune.runtime.info import MODEL, read_info
    from humtune.runtime.log import read_log
    from humtune.runtime.outcomes import Scored, Tally
    from humtune.runtime.recordings import Listener
    from humtune.runtime.refresher import Refresher
    from humtune.runtime.results import ResultFiles
    from humtune.runtime.scorer import Scorer

    if not recordings and watch is None:
        raise UsageError("nothing to score: name files, folders or patterns, - for a list, or --watch DIR")
    own = read_info(model).with_threshold(false_alarms, fit)
    info = own.with_window(window)
    if channel is not None:  # unsaid, as the model was trained
        info = info.model_copy(update={"channel": read_channel(channel)})
    listener = Listener(Scorer(info, model / MODEL), workers=threads or None)
    from humtune.cli.scored import Teller, outcomes

    tally, interrupted = Tally(), False

    @cache
    def healthy() -> "list[Healthy]":
        from humtune.runtime.healthy import read_healthy

        return read_healthy(model, info.sample_rate)

    def finish(*, live: bool = False, looks: bool = True) -> list[Path]:
        """The tables and the page, of all that is logged."""
        files = results.write_tables()
        if not page:
            return files
        from humtune.runtime.page import strangest, update_page, write_page

        if not looks:
            return [*files, write_page(out, strangest(read_log(out)), info.sample_rate)]
        return [*files, update_page(out, listener.scorer, healthy(), quiet=live)]

    with ResultFiles(out, info) as results:
        teller = Teller(info, as_json=as_json, live=watch is not None)
        teller.begin(own)
        with Refresher(partial(finish, live=True), teller.warn) as refresher:
            try:
                for outcome in outcomes(listener, recordings or [], watch):
                    tally.add(outcome)
                    teller.tell(outcome, results.write(outcome) if isinstance(outcome, Scored) else [])
                    if watch is not None:
                        refresher.news()
            except KeyboardInterrupt:
                interrupted = watch is None  # a watch has no other end
        teller.end(tally, finish(looks=not interrupted) if tally.scored else [])
    raise typer.Exit(130 if interrupted else tally.exit_code)


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


def threshold(model: ModelFolder, false_alarms: FalseAlarms = None, fit: FitName = None) -> None:
    """Show the thresholds for a false-alarm rate, and what each does on labelled test clips.

    `humtune score` takes the same two options. Example: humtune threshold models/fan --false-alarms 0.05
    """
    from rich import box
    from rich.table import Table

    from humtune.metrics.calibration import FITS, false_alarm_rate
    from humtune.names import console
    from humtune.runtime.info import read_info

    info = read_info(model).with_threshold(false_alarms, fit)
    evidence, used = info.kept_evidence(), info.threshold
    choices = [evidence.threshold(used.false_alarms, kind) for kind in FITS]
    table = Table("clips", box=box.SIMPLE_HEAD)
    for choice in choices:
        for column in ("false alarms %", "caught %"):
            table.add_column(f"{choice.fit}\n{choice.value:.6g}\n{column}", justify="right")
    held_out = (_percent(false_alarm_rate(evidence.held_out, choice.value)) for choice in choices)
    table.add_row("held out", *chain.from_iterable((share, "") for share in held_out))
    for alarms in zip(*(evidence.alarms(choice.value) for choice in choices), strict=True):
        shares = chain.from_iterable((_percent(a.false_alarms), _percent(a.caught)) for a in alarms)
        table.add_row(f"{alarms[0].part} {alarms[0].domain}", *shares)
    screen = console()
    screen.print(
        f"{info.machine}: {used.false_alarms:.2%} false alarms wanted; {used.clips} held-out normal clips"
    )
    screen.print(table)
    for choice in choices:
        if choice.note:
            screen.print(f"{choice.fit}: {choice.note}", soft_wrap=True)
    if not evidence.tested:
        screen.print("there were no labelled test clips to try a threshold on")


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
