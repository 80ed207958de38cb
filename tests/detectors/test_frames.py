"""Families that judge runs of frames: how runs are cut, and what an autoencoder rebuilds."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from humtune.detectors.autoencoder import Autoencoder
from humtune.detectors.frames import FrameRecipe
from humtune.detectors.recipe import recipe_of


def spectrogram(rows: int = 4, frames: int = 9, batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, 1, rows, frames, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("tree", [{}, {"rebuild": "middle"}, {"family": "vae"}, {"family": "made"}])
def test_a_chunk_is_the_mean_of_its_runs_cut_at_every_frame(tree: dict[str, str]) -> None:
    recipe = recipe_of({"family": "autoencoder", "hidden": 8, "layers": 1, "frames": 3} | tree)
    assert isinstance(recipe, FrameRecipe)
    network, x = recipe.network(4).eval(), spectrogram()
    for chunk, found in zip(x, network(x), strict=True):
        runs = [chunk[0, :, i : i + 3].T.reshape(1, 12) for i in range(7)]
        judged = [
            torch.cat([score[:, None], embedding], dim=1) for score, embedding in map(network.judge, runs)
        ]
        torch.testing.assert_close(found, torch.cat(judged).mean(dim=0))


@pytest.mark.parametrize("frames", [3, 5])
def test_the_middle_frame_is_predicted_from_the_others_alone(frames: int) -> None:
    recipe = Autoencoder(rebuild="middle", frames=frames, hidden=8, layers=1, bottleneck=3)
    network = recipe.network(4).eval()
    runs = torch.randn(6, frames * 4, requires_grad=True)
    score, narrow = network.judge(runs)
    (seen,) = torch.autograd.grad(narrow.sum(), runs, retain_graph=True)
    by_frame = seen.view(6, frames, 4).abs().sum(dim=(0, 2)).numpy()
    assert np.flatnonzero(by_frame == 0).tolist() == [frames // 2]
    middle = runs.view(6, frames, 4)[:, frames // 2]
    wanted = (network.decode(narrow) - middle).detach().numpy()
    np.testing.assert_allclose(score.detach().numpy(), (wanted**2).mean(axis=1), rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"frames": 80},
            r"frames = 80 are more than a chunk has: choose at most spectrogram\.chunk_frames = 64",
        ),
        (
            {"frames": 4, "rebuild": "middle"},
            "rebuild = middle needs an odd number of frames, 3 or more; got 4",
        ),
        (
            {"frames": 1, "rebuild": "middle"},
            "rebuild = middle needs an odd number of frames, 3 or more; got 1",
        ),
    ],
)
def test_frames_that_do_not_go_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Autoencoder.model_validate(settings)


def test_an_autoencoder_of_before_there_was_rebuild_comes_back() -> None:
    old = Autoencoder(hidden=8).model_dump(mode="json")
    del old["rebuild"]
    assert recipe_of(old) == Autoencoder(hidden=8)
