"""The contract of a family: what search, resume, report and export rely on, whatever the detector.

    from humtune.testing.contract import check_recipe
    from humtune.testing.recordings import small_bank

    def test_my_family_keeps_the_contract():
        check_recipe(MyFamily(epochs=2), small_bank())

It checks parts too: `Classifier(head=MyHead())`, or a recipe with a score type of yours. Each function raises
an AssertionError that says what was promised and what came.
"""

import json
from dataclasses import replace

import numpy as np
import onnxruntime

from humtune.detectors.detector import Detector
from humtune.detectors.recipe import Recipe, recipe_of
from humtune.errors import HumtuneError
from humtune.export.check import ROUNDING, TOLERANCE
from humtune.export.graph import Member, least_samples
from humtune.export.onnx import export_onnx
from humtune.metrics.cells import Array
from humtune.runtime.scorer import INPUT
from humtune.sounds.bank import ClipBank
from humtune.sounds.joined import expose
from humtune.sounds.sound_file import to_waveform
from humtune.sounds.table import SCORED, Role
from humtune.testing.recordings import small_bank, taught


def check_recipe(recipe: Recipe, bank: ClipBank) -> None:
    """All of the contract; a recipe of a few short steps and a small bank take seconds.

    A recipe that wants other machines' recordings gets a small bank of them, one that learns of ensembles
    what a simple teacher says.
    """
    check_settings(recipe)
    if recipe.taught:
        bank = taught(bank, recipe.taught)
    recipe.check(bank.table, bank.lengths)
    if recipe.exposed:
        bank = expose(bank, [small_bank("other", seed=1)])
    detector = check_same_seed(recipe, bank)
    check_resume(recipe, bank, detector)
    check_file(detector, bank)
    check_scores(detector, bank)
    check_masking(detector, bank)
    check_graph(detector, bank)
    check_estimate(recipe, bank)


def check_settings(recipe: Recipe) -> None:
    """A recipe comes back from JSON the same, by its family's name, and refuses a setting it doesn't know."""
    tree = json.loads(recipe.model_dump_json())
    again = recipe_of(tree)
    assert again == recipe, f"from its own JSON the recipe comes back as {again!r}, not {recipe!r}"
    try:
        recipe_of(tree | {"no_such_setting": 1})
    except ValueError:
        return
    raise AssertionError(f"the family {recipe.family} takes a setting that it doesn't know")


def check_same_seed(recipe: Recipe, bank: ClipBank) -> Detector:
    """The same recipe and recordings give the same scores, to the bit, in the budget's number of steps."""
    one, other = (run(recipe, bank) for _ in range(2))
    _same(scores_of(one, bank), scores_of(other, bank), "the same recipe and recordings, fitted twice")
    return one


def check_resume(recipe: Recipe, bank: ClipBank, whole: Detector) -> None:
    """Stopped after a step, previewed, and restored in a new fit, it ends as if it never had stopped."""
    for after in {0, recipe.budget // 2}:
        first = recipe.start(bank)
        for _ in range(after):
            first.step()
        state = first.state()
        first.preview()
        second = recipe.start(bank)
        second.restore(state)
        assert second.done == after, f"restored after {after} steps, the fit says it has done {second.done}"
        _same(
            scores_of(whole, bank),
            scores_of(second.run(), bank),
            f"stopped after {after} of {recipe.budget} steps and restored",
        )


def check_file(detector: Detector, bank: ClipBank) -> None:
    """A detector comes back from its file and its reference's the same, to the bit."""
    again = Detector.from_bytes(detector.to_bytes())
    again.load_reference(detector.reference_bytes())
    _same(scores_of(detector, bank), scores_of(again, bank), "written to a file and read again")
    anew = Detector.from_bytes(detector.to_bytes())
    anew.reference = anew.encode(bank, bank.table.having(Role.TRAIN))
    _same(scores_of(detector, bank), scores_of(anew, bank), "read from its file, with a new reference")


def check_scores(detector: Detector, bank: ClipBank) -> None:
    """Every promised score type is there: a finite number a clip, whatever clips are scored with it."""
    clips = bank.table.having(*SCORED)
    found = scores_of(detector, bank)
    promised = detector.recipe.score_types
    assert set(found) == set(promised), f"scores are {sorted(found)}, promised were {sorted(promised)}"
    for name, vector in found.items():
        assert vector.shape == (len(clips),), f"{name}: {vector.shape} scores of {len(clips)} clips"
        assert np.isfinite(vector).all(), f"{name}: a clip's score is {vector[~np.isfinite(vector)][0]}"
    alone = detector.score(detector.encode(bank, clips[:1]))
    for name, vector in found.items():
        off = _off(alone[name], vector[:1], spread=float(vector.std()))
        assert off < TOLERANCE, f"{name}: a clip scored alone is off by {off:.2g} of the scores' spread"


def check_masking(detector: Detector, bank: ClipBank) -> None:
    """Masked, a training clip's own rows are no reference of it: it is as strange as without them."""
    train = bank.table.having(Role.TRAIN)
    masked = detector.score(detector.encode(bank, train[:1]), mask_own=True)
    kept, joints = detector.reference, detector.joints
    try:
        detector.reference = detector.encode(bank, train[1:])
        without = detector.score(detector.encode(bank, train[:1]))
    finally:
        detector.reference, detector.joints = kept, joints
    spread = {name: float(vector.std()) for name, vector in scores_of(detector, bank).items()}
    for name, vector in masked.items():
        off = _off(vector, without[name], spread=spread[name])
        assert off < TOLERANCE, (
            f"{name}: a masked clip's score is off by {off:.2g} of the spread from its score without itself"
        )


def check_graph(detector: Detector, bank: ClipBank) -> str | None:
    """A graph scores recordings as the detector does, of any length; or the reason why there can be none.

    The graph's score is the sum of all score types, each in units of its spread.
    """
    found = scores_of(detector, bank, with_sections=False)
    spread = {name: float(vector.std()) or 1.0 for name, vector in found.items()}
    members = [Member(detector, name, weight=1 / spread[name]) for name in found]
    try:
        least = least_samples(members)
    except HumtuneError as error:
        return str(error)
    clips = bank.table.having(*SCORED)
    assert bank.lengths[clips].min() >= least, f"the shortest clip is shorter than {least} samples"
    wanted = np.sum([vector / spread[name] for name, vector in found.items()], axis=0)
    session = onnxruntime.InferenceSession(
        export_onnx(members, {"humtune": "contract"}), providers=["CPUExecutionProvider"]
    )
    given = np.array([session.run(None, {INPUT: to_waveform(bank.clip(int(i)))})[0] for i in clips])
    off = _off(given, wanted, spread=1.0)
    assert off < TOLERANCE * len(members), (
        f"{', '.join(found)}: the graph's sum of them is off by {off:.2g} of their spreads"
    )
    return None


def check_estimate(recipe: Recipe, bank: ClipBank) -> None:
    """What a trial would take is estimated before it runs, and is some time."""
    found = recipe.estimate(bank, device="cpu", bf16=False, compiled=False, measured=1)
    assert 0 < found.step_seconds <= found.trial_seconds, f"an estimate is {found!r}"


def run(recipe: Recipe, bank: ClipBank) -> Detector:
    """A detector that ran its budget, each step of which says something finite."""
    fit = recipe.start(bank)
    for count in range(1, recipe.budget + 1):
        metrics = fit.step()
        assert fit.done == count, f"after {count} steps the fit says it has done {fit.done}"
        bad = {name: value for name, value in metrics.items() if not np.isfinite(value)}
        assert not bad, f"step {count} says {bad}"
    return fit.finish()


def scores_of(detector: Detector, bank: ClipBank, *, with_sections: bool = True) -> dict[str, Array]:
    """Every score type of the clips that did not train; as a graph, which knows no sections, if so wanted."""
    encoded = detector.encode(bank, bank.table.having(*SCORED))
    if with_sections:
        return detector.score(encoded)
    return detector.score(replace(encoded, section=None), pool="machine")


def _same(wanted: dict[str, Array], found: dict[str, Array], what: str) -> None:
    assert wanted.keys() == found.keys(), f"{what}: scores are {sorted(found)}, not {sorted(wanted)}"
    for name, vector in wanted.items():
        off = np.abs(vector - found[name]).max()
        assert np.array_equal(vector, found[name]), f"{what}: {name} scores are off by up to {off:.3g}"


def _off(found: Array, wanted: Array, *, spread: float) -> float:
    """The largest difference in the scores' spread; 0 where it is float32's rounding of the scores."""
    off = float(np.abs(np.ravel(found) - np.ravel(wanted)).max())
    if off <= ROUNDING * max(1.0, float(np.abs(wanted).max())):
        return 0.0
    return off / spread if spread else float("inf")
