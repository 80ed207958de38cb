"""The files of an ensemble of imported systems alone: DCASE score files, and what it is worth."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from humtune.errors import UsageError
from humtune.evaluation.cells import Array
from humtune.evaluation.scorefiles import file_name, find_files, make_folder, write_file
from humtune.evaluation.submission import score_files
from humtune.report.ensembles import render
from humtune.results.ensembles.record import EnsembleRecord
from humtune.sounds.table import ClipTable
from humtune.storage import Storage

Joined = Mapping[str, tuple[EnsembleRecord, ClipTable, Array]]


def write_joined(joined: Joined, out: Path) -> tuple[Path, ...]:
    """Write each machine's scores as DCASE files, ensembles.md, .csv and front.png, and <machine>.json.

    UsageError where `out` holds score files that this would not replace.
    """
    tables = [(machine, clips, scores) for machine, (_, clips, scores) in joined.items()]
    parts = [
        (machine, section, domain, here, clips, scores)
        for machine, clips, scores in tables
        for section, domain, here in score_files(clips)
        if np.isfinite(scores[here]).all()
    ]
    names = {file_name("anomaly_score", machine, section, domain) for machine, section, domain, *_ in parts}
    if foreign := sorted({path.name for path in find_files(out, "anomaly_score")} - names):
        raise UsageError(f"{out}: holds {foreign[0]}, which is not of these machines; choose another --out")
    make_folder(out)
    records = [record for record, *_ in joined.values()]
    pages = render(out.resolve().name, records)
    pages |= {f"{record.machine}.json": record.model_dump_json(indent=1).encode() for record in records}
    for name, data in pages.items():
        Storage(out).write(name, data)
    files = [
        write_file(
            out,
            "anomaly_score",
            machine=machine,
            section=section,
            domain=domain,
            names=clips.name[here].tolist(),
            values=scores[here].tolist(),
        )
        for machine, section, domain, here, clips, scores in parts
    ]
    return (*(out / name for name in pages), *files)
