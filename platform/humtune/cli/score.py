"""score: how anomalous new recordings are, by an exported model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

if TYPE_CHECKING:
    from humtune.runtime.info import ModelInfo
    from humtune.runtime.recordings import Scored, ScoringRun

SHOWN = 20  # recordings on the screen; all of them are in the files


def score(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A machine's folder of `humtune export`.")],
    recordings: Annotated[
        list[Path], typer.Argument(metavar="FILE|DIR…", help="wav or flac files, or folders of them.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Gets the CSV files.")] = Path("scores"),
    threads: Annotated[int, typer.Option(min=0, help="Recordings at a time; 0: as many as cores.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Score recordings with an exported model; decisions and scores are written as DCASE files.

    Exits with 1 where a recording could not be read. Example: humtune score models/fan new-recordings/
    """
    from humtune.evaluation.scorefiles import make_folder
    from humtune.runtime.recordings import find_recordings, score_files
    from humtune.runtime.results import write_results
    from humtune.runtime.scorer import Scorer

    paths = find_recordings(recordings)
    scorer = Scorer.open(model)
    make_folder(out)
    run = score_files(scorer, paths, workers=threads or None)
    files = write_results(out, scorer.info.machine, run.scored)
    if as_json:
        import json

        typer.echo(json.dumps(_to_json(scorer.info, run, files), indent=1))
    else:
        _print(scorer.info, run, files)
    raise typer.Exit(1 if run.failed else 0)


def _to_json(info: "ModelInfo", run: "ScoringRun", files: list[Path]) -> dict[str, Any]:
    return {
        "machine": info.machine,
        "trial": info.trial,
        "score_type": info.score_type,
        "threshold": info.threshold.value,
        "recordings": [
            {"file": str(s.path), "score": s.score, "anomaly": s.is_anomaly, "changes": s.changes}
            for s in run.scored
        ],
        "failed": [{"file": str(f.path), "reason": f.reason} for f in run.failed],
        "files": [str(file) for file in files],
        "clips_per_second": run.clips_per_second,
        "real_time_factor": run.real_time_factor,
    }


def _print(info: "ModelInfo", run: "ScoringRun", files: list[Path]) -> None:
    console, errors = Console(), Console(stderr=True)
    worst = sorted(run.scored, key=lambda s: -s.score)[:SHOWN]
    if console.is_terminal:
        _print_table(console, info, worst)
    else:
        for clip in worst:
            typer.echo(f"{clip.score:.6g} {_decision(clip)} {clip.path}")
    lines = [f"the {SHOWN} strangest of {len(run.scored)} are shown"] if len(run.scored) > SHOWN else []
    lines += [f"{_count(count)} {change}" for change, count in run.changes.items()]
    if run.scored:
        anomalies = sum(s.is_anomaly for s in run.scored)
        lines.append(
            f"{anomalies} of {_count(len(run.scored))} above the threshold {info.threshold.value:.6g}; "
            f"{run.clips_per_second:.1f} a second, real-time factor {run.real_time_factor:.4f}"
        )
        lines.append(f"written: {len(files)} files in {files[0].parent}")
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    for failed in run.failed:
        errors.print(f"{failed.path}: {failed.reason}", highlight=False, soft_wrap=True, markup=False)


def _print_table(console: Console, info: "ModelInfo", clips: list["Scored"]) -> None:
    from rich import box
    from rich.table import Table

    table = Table("recording", box=box.SIMPLE_HEAD)
    table.add_column("score", justify="right")
    table.add_column("threshold", justify="right")
    table.add_column("decision")
    for clip in clips:
        style = "red" if clip.is_anomaly else None
        values = (str(clip.path), f"{clip.score:.6g}", f"{info.threshold.value:.6g}", _decision(clip))
        table.add_row(*values, style=style)
    console.print(table)


def _decision(clip: "Scored") -> str:
    return "anomaly" if clip.is_anomaly else "normal"


def _count(recordings: int) -> str:
    return "1 recording" if recordings == 1 else f"{recordings} recordings"
