"""The space that is recommended: it fits what people have, and leaves out what does not."""

import pytest

from humtune.search.space import read_space
from humtune.search.space.fit import fitting
from humtune.testing.recordings import small_bank

OWN = ["spectra", "density", "rebuilt"]


@pytest.mark.parametrize("attributes", [True, False])
def test_auto_fits_machines_and_a_folder_alone(attributes: bool) -> None:
    _, space = read_space("auto")
    banks = {name: small_bank(name, seconds=4, attributes=attributes) for name in ("fan", "valve")}
    both, left_out = fitting(space, banks)
    assert list(left_out) == ["encoder"]
    assert both.shared_trials
    alone, left_out = fitting(space, {"fan": banks["fan"]})
    assert {"encoder", "all classes", "all branches"} <= {*left_out}
    assert [*alone.search["family"].options][:3] == OWN
    assert not alone.shared_trials


def test_a_folder_without_classes_has_the_kinds_that_need_none() -> None:
    _, space = read_space("auto")
    alone, _ = fitting(space, {"fan": small_bank("fan", seconds=4, sections=1, attributes=False)})
    assert [*alone.search["family"].options] == OWN
