"""One window: in a model's chunks, in its threshold's scores, in what it scores."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from humtune.detectors.encoder import equispaced_starts
from humtune.detectors.frontends import Spectrogram
from humtune.detectors.recipe import recipe_of
from humtune.detectors.waveform import SpectrogramAndWaveform, Waveform
from humtune.export.blueprint import single
from humtune.export.graph import Member, most_samples
from humtune.export.model import build_model
from humtune.export.windows import window_of
from humtune.results.candidates import Candidate
from humtune.results.measure import measure
from humtune.runtime.scorer import Scorer
from humtune.sounds.sound_file import to_waveform
from humtune.sounds.table import Role

SHORT = Spectrogram(n_fft=256, chunk_frames=16, n_mels=32)
REACH = (5 * 16 - 1) * 128  # samples that five such chunks lie beside each other on


@pytest.mark.parametrize(
    "frontend",
    [
        SHORT,
        Spectrogram(n_fft=256, hop=64, chunk_frames=16, n_mels=None),
        Waveform(chunk_frames=16, frame_samples=128),
        SpectrogramAndWaveform(n_fft=256, chunk_frames=16, n_mels=32),
    ],
)
def test_chunks_leave_nothing_out_of_a_clip_of_most_samples(frontend):
    layer = frontend.build().eval()
    hop = frontend.hop_samples
    most = (5 * frontend.chunk_frames - 1) * hop
    assert equispaced_starts(frontend.frames(most), frontend.chunk_frames, 5)[1] == frontend.chunk_frames
    assert (
        equispaced_starts(frontend.frames(most + hop), frontend.chunk_frames, 5)[4]
        > 4 * frontend.chunk_frames
    )
    silence = torch.zeros(1, most)
    quiet = [part.sum() for part in layer.chunks(layer.whole(silence))]
    for place in range(0, most, hop // 2):
        click = silence.clone()
        click[0, place] = 1.0
        heard = [part.sum() for part in layer.chunks(layer.whole(click))]
        assert all(a != b for a, b in zip(heard, quiet, strict=True)), place


def test_a_window_is_a_usual_clip_of_which_no_member_leaves_anything_out(make_detector):
    tree = {"spectrogram": SHORT.model_dump(), "backbone": {"width": 0.125}}
    short = Member(make_detector(recipe_of(tree)), "cosine")
    longer = SHORT.model_copy(update={"chunk_frames": 32}).model_dump()
    other = Member(make_detector(recipe_of(tree | {"spectrogram": longer})), "cosine")
    assert most_samples([short]) == most_samples([other, short]) == REACH
    lengths = np.array([8_000, 9_000, 100_000])
    assert window_of([short], lengths) == 9_000
    assert window_of([short, other], lengths + 3_000) == REACH
    assert window_of([other], lengths + 3_000) == 12_000
    assert window_of([other], lengths // 10) == 31 * 128  # a chunk at the least


@pytest.mark.slow
def test_a_threshold_and_its_metrics_are_of_the_scores_that_the_model_gives(ledger, train):
    """Its chunks span 0.6 s, and clips are of 1 s: 0.4 s of them are between the chunks of a search."""
    trial = train(ledger, 2, spectrogram=SHORT)
    score_type = trial.best_score
    recorded = ledger.scores(trial.id, score_type)
    best = Candidate(trial, score_type, trial.objective)
    plan = single(ledger, replace(measure(ledger, "fan"), best=best, scores=recorded))
    model, graph, plan = build_model(ledger, plan, None, false_alarms=0.25)
    info, bank = model.info, plan.bank
    scorer = Scorer(info, graph)
    assert info.window == info.window_samples == REACH < bank.lengths.min()
    assert model.parity < 1e-3
    held_out = bank.table.having(Role.HELD_OUT)
    waves = [to_waveform(bank.clip(int(i))) for i in held_out]
    assert info.evidence.held_out == tuple(scorer.score(wave) for wave in waves)
    assert not np.allclose(info.evidence.held_out, recorded[ledger.clips("fan").having(Role.HELD_OUT)])
    assert info.threshold == info.evidence.threshold(0.25)
    assert info.metrics["omega_select_official"] == plan.measured.reading.select.omega_official
    assert info.metrics["omega_select_official"] != pytest.approx(best.value)
