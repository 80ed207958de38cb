"""Searches that stand for the paper's results, at the size of DCASE 2022's development set or below it."""

import pytest

from humtune.config import Output
from humtune.detectors.classifier.fit import Training
from humtune.detectors.classifier.heads import VariationalHead
from humtune.detectors.classifier.recipe import Classifier
from humtune.detectors.frontends import Spectrogram
from humtune.records import Epoch
from humtune.report.paper.printed import SPECTROGRAMS

METRICS = {"loss": 1.0}


class Paper:
    """Makes searches with a trial for each (machine, head, seed)."""

    def __init__(self, bench, make_clips):
        self.bench, self.make_clips = bench, make_clips

    def search(self, reproduces, machines=("fan", "valve"), *, per_cell=4, sections=(0, 1, 2), truth=True):
        clips = {m: self.make_clips(m, per_cell=per_cell, sections=sections, truth=truth) for m in machines}
        space = {"reproduces": reproduces, "sampler": "grid"}
        return self.bench.search(reproduces, clips=clips, space=space)

    def point(
        self, ledger, machine, head, *, skill=1.0, seeds=2, spectrogram=None, metrics=METRICS, **training
    ):
        """A point's trials after those that the machine has."""
        first = len(list(ledger.records(machine)))
        recipe = Classifier(
            head=head,
            spectrogram=spectrogram or SPECTROGRAMS.get(machine, Spectrogram()),
            training=Training(**training),
        )
        gains = {"cosine": 1.0, "nll": 0.5} if Output.VARIANCE in head.gives else {"cosine": 1.0}
        epoch = Epoch(epoch=1, ended=1.7e9, seconds=1, metrics=dict(metrics))
        for seed in range(seeds):
            self.bench.trial(
                ledger,
                machine,
                first + seed,
                skill=skill,
                gains=gains,
                params={"point": f"{head} {spectrogram}"},
                config=recipe.model_copy(update={"seed": seed}),
            )
            record = ledger.read(f"{machine}-{first + seed:05d}")
            ledger.write(record.model_copy(update={"epochs": (epoch,)}))


@pytest.fixture
def paper(bench, make_clips):
    return Paper(bench, make_clips)


@pytest.fixture
def variational():
    def variational(mu=10, sigma2=0.1, beta_class=1):
        return VariationalHead(mu=mu, sigma2=sigma2, beta_class=beta_class)

    return variational
