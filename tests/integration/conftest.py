from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module", autouse=True)
def _few_probes() -> Iterator[None]:
    """Searches made in this process have a dozen probes of a kind: a hundred take most of a trial."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("humtune.sounds.probes.PER_KIND", 12)
        yield


@pytest.fixture
def done(humtune: Run, mlflow_ready: Callable[[Path], Path], tmp_path: Path) -> Callable[..., str]:
    """The command in this process, in the test's storage and to a good end; what it said."""
    mlflow_ready(tmp_path)

    def run(*words: str | Path) -> str:
        code, out, err = humtune(*words, "--storage", tmp_path)
        assert code == 0, out + err
        return out + err

    return run
