"""What of an ensemble can leave as a model, which asks nothing of a clip but its sound."""

import numpy as np

from humtune.errors import HumtuneError
from humtune.ledger import Ledger
from humtune.metrics.cells import Array
from humtune.names import command
from humtune.records import TrialRecord
from humtune.results.archive import read_archive
from humtune.results.candidates import exportable_types
from humtune.results.ensembles.record import EnsembleRecord, ensemble_scores

WHY = "scores a clip against its own section, which an exported model can't know"


def check_leaving(ledger: Ledger, record: EnsembleRecord) -> dict[str, TrialRecord]:
    """The trials that a model of the ensemble needs; HumtuneError where a member can't leave."""
    trials: dict[str, TrialRecord] = {}
    for member in record.machine_wide:
        reason = None
        if member.trial is None:
            reason = "is known by its score files alone"
        elif member.calibration is None:
            reason = "is ranked within a whole test set, which a single recording doesn't have"
        else:
            trial = ledger.read(member.trial)
            trials[member.trial] = trial.of(record.machine) or trial
            if not exportable_types(trial.config, [member.score_type]):
                reason = WHY
        if reason:
            raise HumtuneError(
                f"{record.machine}: the ensemble can't be exported: {member.name} {reason}; "
                f"choose it anew with {command('ensemble', ledger.name)} --exportable"
            )
    return trials


def machine_scores(ledger: Ledger, record: EnsembleRecord) -> Array:
    """The ensemble's scores [N] of the ledger's scored clips, all with the machine's weights.

    Out of what the trials have recorded; HumtuneError where that no longer gives the ensemble's own scores.
    """
    own, section = ensemble_scores(ledger, record), ledger.clips(record.machine).section
    every = np.zeros((len(record.members), len(own)))
    archive, is_known = read_archive(ledger, record.machine), True
    for row, member in zip(every, record.members, strict=True):
        if member.trial is None or member.calibration is None:  # a section's alone: it has no weight here
            is_known = False
        else:
            row[:] = member.calibration(archive.rows([(member.trial, member.score_type)])[0])
    if is_known and not np.allclose(record.combine(every, section), own, rtol=1e-6, atol=1e-6):
        raise HumtuneError(
            f"{record.machine}: the ensemble is of other scores than its trials have now; "
            f"make it again with {command('ensemble', ledger.name)}"
        )
    return record.combine(every)
