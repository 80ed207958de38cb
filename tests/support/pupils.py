"""Small students, and trials run to their end in this process."""

from humtune.ledger import Ledger
from humtune.records import TrialRecord, TrialState
from humtune.search.space import planned_space
from humtune.search.studies import Studies
from humtune.search.trial import TrialRun, start_trial

TINY = {
    "spectrogram.n_fft": 256,
    "spectrogram.chunk_frames": 32,
    "spectrogram.n_mels": 16,
    "backbone.width": 0.125,
    "backbone.embedding": 8,
    "chunks_per_clip": 1,
}


def finish(trial: TrialRun) -> TrialRecord:
    """Run a trial to its end."""
    while (record := trial.epoch()).state == TrialState.RUNNING:
        pass
    return record


def train(students: Ledger) -> list[TrialRecord]:
    """Run what is left of a search of students, as the searcher would ask for it."""
    studies, found = Studies(students, planned_space(students.plan)), []
    while record := studies.ask():
        config = {
            "storage": students.storage.uri,
            "search": students.name,
            "record": record.model_dump_json(),
            "trial": record.id,
            "measured": [],
        }
        found.append(finish(start_trial(config)))
        studies.end(found[-1])
    return found
