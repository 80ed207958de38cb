"""Values that are each valid and make no trial together: refused before anything runs, in one sentence."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from humtune.errors import UsageError
from humtune.search.space import Space, check_space, planned_space, together
from humtune.search.space.fit import check_fits, corners

Make = Callable[..., Any]

AUTOENCODER = {"family": "autoencoder"}
FRAMES = {"frames": [3, 4, 5], "rebuild": ["all", "middle"]}
ODD = "rebuild = middle needs an odd number of frames, 3 or more; got 4"
BOTH = f"frames: 4, rebuild: middle together: {ODD}"
THREE = {  # no two of the last are too much
    "spectrogram.n_fft": [128, 1024],
    "spectrogram.hop": [128, 32],
    "spectrogram.chunk_frames": [64, 16],
}
SHORT = "chunk_frames must be 18 or more with n_fft = 1024 and hop = 32, got 16"


def checked(**keys: Any) -> Space:
    return check_space(keys, where="here")


def refused(**keys: Any) -> str:
    with pytest.raises(UsageError) as caught:
        checked(**keys)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("sampler", ["tpe", "gp", "random", "grid"])
def test_two_values_that_make_no_trial_are_named_with_the_rule(sampler: str) -> None:
    found = refused(fixed=AUTOENCODER, search=FRAMES, sampler=sampler)
    assert found == f"here: search can't have {BOTH}"
    checked(fixed=AUTOENCODER, search=FRAMES | {"frames": [3, 5]}, sampler=sampler)


@pytest.mark.parametrize(
    ("search", "said"),
    [
        (
            {
                "spectrogram.f_min": {"low": 0, "high": 3000},
                "spectrogram.f_max": {"low": 2000, "high": 8000},
            },
            "spectrogram.f_min: 3000, spectrogram.f_max: 2000 together: f_min must be below f_max = 2000",
        ),
        (
            {"spectrogram.n_fft": [128, 256], "spectrogram.hop": [64, 256]},
            "spectrogram.n_fft: 128, spectrogram.hop: 256 together: hop must be n_fft = 128 or less, got 256",
        ),
        ({"family": {"presets": {"autoencoder": {}, "noop": {}}, "search": {"autoencoder": FRAMES}}}, BOTH),
        (
            {"family": {"presets": {"autoencoder": {}, "vae": {}}}, "spectrogram.n_fft": [128, 256]}
            | {"spectrogram.hop": [64, 256]},
            "spectrogram.n_fft: 128, spectrogram.hop: 256 together",
        ),
    ],
)
def test_bounds_and_what_families_open_are_held_against_each_other(search: dict[str, Any], said: str) -> None:
    assert refused(search=search).startswith(f"here: search can't have {said}")


def test_what_only_one_machine_has_can_make_two_values_impossible() -> None:
    search = {"spectrogram.n_fft": [256, 1024], "spectrogram.hop": [32, 64]}
    machines = {"fan": {"spectrogram.chunk_frames": 16}}
    assert checked(search=search)
    assert refused(search=search, machines=machines) == (
        "here: machines.fan: search can't have spectrogram.n_fft: 1024, spectrogram.hop: 32 together: "
        + SHORT
    )


def test_every_point_of_a_grid_is_checked_and_of_a_huge_one_every_pair(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    named = "spectrogram.n_fft: 1024, spectrogram.hop: 32, spectrogram.chunk_frames: 16"
    assert refused(search=THREE, sampler="grid") == f"here: search can't have {named} together: {SHORT}"
    monkeypatch.setattr(together, "MOST_CHECKED", 5)
    checked(search=THREE, sampler="grid")
    assert refused(fixed=AUTOENCODER, search=FRAMES, sampler="grid").endswith(BOTH)


def test_every_point_of_a_list_is_checked_and_the_first_of_a_sampler() -> None:
    points = [{"frames": 3, "rebuild": "middle"}, {"frames": 4, "rebuild": "middle"}]
    listed = {"fixed": AUTOENCODER, "search": FRAMES, "sampler": "listed"}
    assert refused(**listed, first=points) == f"here: first point 2 can't have {BOTH}"
    checked(**listed, first=[points[0], {"frames": 4, "rebuild": "all"}])
    odd = {
        "fixed": AUTOENCODER | {"rebuild": "middle"},
        "search": {"frames": {"low": 3, "high": 7, "step": 2}},
    }
    checked(**odd, first=[{"frames": 5}])
    last = {"machine": "fan"} | {name: values[-1] for name, values in THREE.items()}
    assert refused(search=THREE, first=[last]).startswith("here: first point 1 can't have spectrogram.n_fft")


def test_a_value_is_held_against_what_is_searched_and_not_against_a_default_that_none_has() -> None:
    checked(search={"spectrogram.n_fft": [1024, 2048], "spectrogram.hop": [512]})
    checked(fixed={"spectrogram.n_fft": 64}, search={"spectrogram.hop": [16, 32]}, sampler="grid")
    found = refused(search={"spectrogram.n_fft": [1024], "spectrogram.hop": [2048]})
    assert found == "here: search.spectrogram.hop can be 2048: hop must be n_fft = 1024 or less, got 2048"


def test_three_values_are_found_by_what_the_recordings_are_held_against(table: Make) -> None:
    space = checked(search=THREE)
    said = f"fan: {SHORT} (spectrogram.n_fft: 1024, spectrogram.hop: 32, spectrogram.chunk_frames: 16)"
    clips = table()
    for ask in (
        lambda: list(corners(space, "spectrogram", machine="fan")),
        lambda: check_fits(space, clips, np.full(len(clips), 160_000)),
    ):
        with pytest.raises(UsageError) as caught:
            ask()
        assert str(caught.value) == said


def test_a_search_that_has_begun_goes_on(bench: Make) -> None:
    """Its other trials are as good as they were; those that can't be made fail."""
    ledger = bench(fixed={}, search=THREE).ledger
    asked = ledger.plan.asked.space | {"fixed": AUTOENCODER, "search": FRAMES}
    ledger.write_plan(ledger.plan.asking(space=asked))
    assert list(planned_space(ledger.plan).dimensions) == ["frames", "rebuild"]
