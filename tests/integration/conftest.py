"""The paper's searches, at toy scale: run once, looked at by several tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from humtune.ledger import Ledger
from humtune.sounds.synthetic import Sizes, synthesise
from humtune.storage import Storage

PAPER = Path(__file__).parents[2] / "search_spaces" / "paper"
TOY = (
    "spectrogram.chunk_frames=32",
    "spectrogram.n_mels=16",
    "backbone.width=0.125",
    "training.epochs=1",
    "training.chunks_per_clip=1",
)


@pytest.fixture(scope="session")
def paper_searches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Ledger]]:
    """The finished search of every space of the paper, by its file's stem: two machines, one storage.

    Every point is run, with as many of the space's seeds as make no more than two dozen trials a machine.
    """
    import ray

    from humtune.search.overrides import override, read_settings
    from humtune.search.run import connect, prepare, run
    from humtune.search.space_files import read_space

    folder = tmp_path_factory.mktemp("paper")
    sizes = Sizes(sections=2, train_source=8, train_target=2, test_per_cell=2, seconds=1.0)
    synthesise(folder / "data", machines=("fan", "valve"), sizes=sizes)
    storage = Storage(folder / "runs")
    found: dict[str, Ledger] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "")
        connect(None)
        try:
            for path in sorted(PAPER.glob("[!_]*.yaml")):
                name, space = read_space(str(path))
                points = space.quota("fan") // space.seeds
                seeds = max(1, min(space.seeds, 24 // points))
                toy = override(space, trials=points * seeds, settings=read_settings(TOY))
                found[name] = prepare(toy, name=name, data=folder / "data", storage=storage)
                run(found[name])
        finally:
            ray.shutdown()
    return found
