"""score: how anomalous new recordings are, by an exported model."""

from pathlib import Path
from typing import Annotated

import typer

from humtune.cli.options import FIT, Channel, read_channel

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
            help="wav or flac files, folders of them, quoted patterns; -: a list on standard input.",
        ),
    ] = None,
    watch: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Score what is there and what arrives, until Ctrl-C.")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Gets the CSV files and pictures.")] = Path(
        "scores"
    ),
    false_alarms: FalseAlarms = None,
    fit: FitName = None,
    window: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Of long recordings; else that of the model's normal clips."),
    ] = None,
    channel: Channel = None,
    threads: Annotated[int, typer.Option(min=0, help="Recordings at a time; 0: as many as cores.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines, each as it is known.")] = False,
) -> None:
    """Score recordings of any length and rate; decisions and scores are written as DCASE files.

    Long ones are scored in windows, with a table and a picture of the score over time. Exits with 3 where
    something was anomalous, else with 1 where a recording could not be read, else with 0.
    Example: humtune score models/fan new-recordings/ --false-alarms 0.01
    """
    from humtune.errors import UsageError
    from humtune.runtime.info import MODEL, read_info
    from humtune.runtime.outcomes import Scored, Tally
    from humtune.runtime.recordings import Listener
    from humtune.runtime.results import ResultFiles
    from humtune.runtime.scorer import Scorer

    if not recordings and watch is None:
        raise UsageError("nothing to score: name files, folders or patterns, - for a list, or --watch DIR")
    info = read_info(model).with_threshold(false_alarms, fit)
    if channel is not None:  # unsaid, as the model was trained
        info = info.model_copy(update={"channel": read_channel(channel)})
    listener = Listener(Scorer(info, model / MODEL), window=window, workers=threads or None)
    from humtune.cli.scored import Teller, outcomes

    tally, interrupted = Tally(), False
    with ResultFiles(out, info.machine, info.threshold.value) as results:
        teller = Teller(info, as_json=as_json, live=watch is not None)
        try:
            for outcome in outcomes(listener, recordings or [], watch):
                tally.add(outcome)
                teller.tell(outcome, results.write(outcome) if isinstance(outcome, Scored) else [])
        except KeyboardInterrupt:
            interrupted = watch is None  # a watch has no other end
        teller.end(tally, results.files)
    raise typer.Exit(130 if interrupted else tally.exit_code)
