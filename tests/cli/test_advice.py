"""Every way out that an error names is one: it is taken as it is written, and leads on."""

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from humtune.errors import HumtuneError
from humtune.sounds.synthetic import Sizes, synthesise

Run = Callable[..., tuple[int, str, str]]

BEGUN = "the search begins"
LONGEST = 4  # pieces of advice until it begins
FAMILIES = r"such as (systems/\w+) or (systems/\w+)"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data sets in which something is missing, and recordings that are no data set."""
    top = tmp_path_factory.mktemp("hostile")
    few = Sizes(sections=2, train_source=6, train_target=1, test_per_cell=1, seconds=2.1)
    synthesise(top / "whole", machines=["fan"], sizes=few)
    synthesise(top / "short", machines=["fan"], sizes=Sizes(2, 6, 1, 1, seconds=1.5))
    shutil.copytree(top / "whole", top / "unlabelled")
    for path in (top / "unlabelled").rglob("*target_test_anomaly*.wav"):
        path.unlink()
    synthesise(top / "alone", machines=["fan"], sizes=Sizes(1, 6, 1, 1, seconds=2.1))
    for folder in ("whole", "alone"):  # without attributes
        for path in (top / folder).rglob("attributes*.csv"):
            path.unlink()
        for path in (top / folder).rglob("*.wav"):
            path.rename(path.with_name(f"{re.match(r'.*_[0-9]{4}', path.stem)[0]}.wav"))  # type: ignore[index]
    (top / "loose").mkdir()
    rng = np.random.default_rng(0)
    for number in range(12):
        soundfile.write(top / "loose" / f"monday {number}.wav", 0.1 * rng.normal(size=64_000), 16_000)
    return top


@pytest.fixture
def answer(
    humtune: Run, folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], tuple[int, str]]:
    """A command beside the folders: its code and what it says. A search ends where it would begin."""

    def begin(*_: object, **__: object) -> None:
        raise HumtuneError(BEGUN)

    monkeypatch.setattr("humtune.search.run.run", begin)
    monkeypatch.setattr("humtune.learn.run", begin)
    monkeypatch.setenv("HUMTUNE_STORAGE", str(tmp_path / "runs"))
    for folder in folders.iterdir():
        (tmp_path / folder.name).symlink_to(folder)

    def said(command: str) -> tuple[int, str]:
        code, out, err = humtune(*shlex.split(command)[1:])
        return code, out + err

    return said


def ways_out(command: str, said: str) -> list[str]:
    """The commands that the advice in an error makes of the one that failed."""
    found = [f"{command} {option}" for option in re.findall(r"--(?:set|labels) [\w.]+=?[\w.]*", said)]
    found = [way.replace("--set labels", "--labels") for way in found]
    whole = [re.split(r" makes |, |   |\n", line)[0] for line in said.split("humtune ")[1:]]
    found += [f"humtune {line}" for line in whole if line.split(" ")[0] in ("data", "search", "learn")]
    for names in re.findall(FAMILIES, said):
        found += [re.sub(r"search \S+", f"search {name}", command) for name in names]
    return [way.replace("DATA", "made").replace("MODEL", "model") for way in found]


@pytest.mark.integration
@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("humtune search quick --data loose", "humtune data import loose --out DATA"),
        ("humtune search quick --data loose", "humtune learn loose --out MODEL"),
        ("humtune search quick --data short", "--set spectrogram.chunk_frames=47"),
        ("humtune search quick --data unlabelled", "--set objective=pseudo"),
        ("humtune search quick --data whole --labels attributes", r"--labels auto"),
        ("humtune search quick --data alone", FAMILIES),
    ],
)
def test_advice_that_is_followed_leads_to_a_search(
    command: str, told: str, answer: Callable[[str], tuple[int, str]]
) -> None:
    """Whichever way is taken, none comes back to where one was, and all come to a beginning."""
    code, said = answer(command)
    assert code == 2
    assert re.search(told, said)
    ahead, met = [(command, said, 1)], {command}
    begun = 0
    while ahead:
        here, said, steps = ahead.pop()
        ways = ways_out(here, said)
        assert ways, f"{here} leads no further: {said}"
        for way in ways:
            assert way not in met, f"{here} leads back to {way}"
            met.add(way)
            code, said = answer(way)
            if BEGUN in said:
                begun += 1
                continue
            assert steps < LONGEST, f"{way}: {said}"
            if code == 0:  # of an import: what it made is searched in the place of the recordings
                assert "Next: humtune data check made" in said
                said = "humtune search quick --data made"
            ahead.append((way, said, steps + 1))
    assert begun
