from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def _few_probes() -> Iterator[None]:
    """Searches made in this process have a dozen probes of a kind: a hundred take most of a trial."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("humtune.sounds.probes.PER_KIND", 12)
        yield
