"""Whether a space fits a machine's recordings: told before anything starts, by key, value and bound."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from humtune.errors import UsageError
from humtune.search.space import check_space
from humtune.search.space.fit import check_all, check_fits, fitting, objective_of, remarks
from humtune.sounds.table import ClipTable, Role

Make = Callable[..., Any]

PRESETS = {"short": {"n_fft": 256, "chunk_frames": 64}, "long": {"n_fft": 1024, "chunk_frames": 100}}


def said(space: Any, table: ClipTable, lengths: Any) -> str:
    with pytest.raises(UsageError) as caught:
        check_fits(space, table, np.broadcast_to(np.asarray(lengths, dtype=np.int64), len(table)))
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_chunk_longer_than_the_shortest_clip_names_machine_preset_clip_and_bound(
    space: Make, table: Make
) -> None:
    clips = table("valve")
    lengths = np.full(len(clips), 100 * 512)
    lengths[7] = 98 * 512 + 511  # 99 frames
    tight = space(search={"spectrogram": {"presets": PRESETS}})
    assert said(tight, clips, lengths) == (
        "valve: spectrogram.chunk_frames = 100 is longer than the shortest clip, clip_0007.wav: "
        "3.17 s are 99 frames, 512 samples apart; choose chunk_frames ≤ 99, as with "
        "--set spectrogram.chunk_frames=99 (spectrogram: long)"
    )
    lengths[7] += 1
    check_fits(tight, clips, lengths)  # 100 frames are enough


def test_a_fixed_chunk_is_checked_too(space: Make, table: Make) -> None:
    fixed = space(fixed={"spectrogram": {"n_fft": 512, "chunk_frames": 300}})
    assert said(fixed, table(), 16_000).startswith(
        "fan: spectrogram.chunk_frames = 300 is longer than the shortest clip, clip_0000.wav: "
        "1.00 s are 63 frames"
    )


def test_every_corner_of_the_spectrogram_is_checked(space: Make, table: Make) -> None:
    wide = space(
        search={
            "spectrogram.n_fft": {"low": 128, "high": 2048, "step": 128},
            "spectrogram.chunk_frames": {"low": 16, "high": 64},
        }
    )
    message = said(wide, table(), 63 * 1024 - 1)
    assert message.endswith(
        "choose chunk_frames ≤ 63, as with --set spectrogram.chunk_frames=63 "
        "(spectrogram.n_fft: 2048, spectrogram.chunk_frames: 64)"
    )
    check_fits(wide, table(), np.full(len(table()), 63 * 1024))


def test_the_papers_own_spectrograms_fit_ten_seconds_and_not_four(table: Make) -> None:
    from humtune.search.space import read_space

    _, paper = read_space("paper")
    check_fits(paper, table(), np.full(len(table()), 160_000))
    message = said(paper, table(), 64_000)
    assert message.startswith("fan: spectrogram.chunk_frames = 512 is longer than")
    assert message.endswith(" (spectrogram: ToyCar)")


def test_more_classes_than_the_embedding_is_long(space: Make, table: Make) -> None:
    clips = table(sections=5)
    small = space(search={"backbone.embedding": [4, 8], "labels": ["section"]}, fixed={})
    lengths = 160_000
    assert said(small, clips, lengths) == (
        "fan: labels: section gives 5 classes, more than backbone.embedding = 4; set it to 5 or more "
        "(backbone.embedding: 4, labels: section)"
    )
    check_fits(space(fixed={"backbone": {"embedding": 5}}), clips, np.full(len(clips), lengths))


def test_one_class_is_too_few(space: Make, table: Make) -> None:
    assert "labels: auto gives only one class (section_00), a classifier needs two" in said(
        space(), table(sections=1), 160_000
    )


def test_labels_that_the_clips_do_not_carry(space: Make, table: Make) -> None:
    message = said(space(search={"labels": ["section", "attributes"]}), table(), 160_000)
    assert "labels: attributes gives only one class (none), a classifier needs two; use auto" in message


def test_without_labelled_clips_pseudo_omega_is_the_objective(space: Make, table: Make) -> None:
    assert objective_of(None, table()) == "omega"
    assert objective_of("pseudo", table()) == "pseudo"
    assert objective_of(None, table(labelled=False)) == "pseudo"
    assert said(space(objective="omega"), table(labelled=False), 160_000) == (
        "fan has no labelled test clips; Ω needs normals and anomalies; "
        "--set objective=pseudo does without labels"
    )


def test_pseudo_omega_needs_clips_that_did_not_train(space: Make, table: Make) -> None:
    clips = table(labelled=False)
    clips.role[clips.role == Role.HELD_OUT] = Role.TRAIN
    assert said(space(), clips, 160_000) == (
        "fan: objective: pseudo needs two training clips a section, or more"
    )


def test_a_cell_without_anomalies_is_named(space: Make, table: Make) -> None:
    clips = table()
    keep = ~((clips.section == 1) & (clips.domain == 1) & (clips.label == 1))
    assert said(space(), clips.take(keep), 160_000).startswith("fan section 01 target has no anomalous clips")


def test_labelled_clips_of_other_roles_do_not_select(table: Make) -> None:
    clips = table()
    clips.role[clips.role == Role.SELECT] = Role.REPORT
    assert objective_of(None, clips) == "pseudo"


@pytest.mark.parametrize("count", [0, 1])
def test_fusion_needs_two_held_out_clips(space: Make, table: Make, count: int) -> None:
    clips, lengths = table(), 160_000
    clips.role[clips.having(Role.HELD_OUT)[count:]] = Role.TRAIN
    fused = {"scores": ["cosine", "nll", "fusion"]}
    assert said(space(fixed=fused), clips, lengths) == (
        f"fan: scores: fusion needs 2 held-out training clips or more, there are {count}; "
        "take fusion out, or give a section and domain 15 clips"
    )
    heads = {"presets": {"ce": {"kind": "cross_entropy"}, "variational": {"kind": "variational"}}}
    message = said(space(fixed=fused, search={"head": heads}), clips, lengths)
    assert message.endswith(" 15 clips (head: variational)")
    plain = space(fixed=fused, search={"head": {"presets": {"ce": {"kind": "cross_entropy"}}}})
    check_fits(plain, clips, np.full(len(clips), lengths))  # it gives no nll: nothing to join
    check_fits(space(), clips, np.full(len(clips), lengths))
    check_fits(space(fixed=fused), table(), np.full(len(clips), lengths))


def test_silent_mel_filters_are_remarked_once_a_spectrogram(space: Make) -> None:
    some = space(
        search={
            "spectrogram": {
                "presets": {
                    "ToyCar": {"n_fft": 256, "n_mels": 256},
                    "low": {"n_fft": 1024, "n_mels": 64},
                    "linear": {"n_fft": 256, "n_mels": None},
                }
            },
            "head.mu": [5, 10],
        }
    )
    [line] = remarks(some, ["fan", "valve"])
    count, _, rest = line.partition(" empty mel bands of 256 at n_fft = 256")
    assert 60 < int(count) < 90  # torchaudio's own count is about 75
    assert rest == " (spectrogram: ToyCar)"
    assert remarks(space(fixed={"spectrogram": {"n_fft": 1024, "n_mels": 64}}), ["fan"]) == []


FAMILIES = {
    "few": {"family": "gaussian_mixture", "components": 2},
    "many": {"family": "gaussian_mixture", "components": 5000},
}


def test_kinds_of_detectors_that_recordings_do_not_do_for_are_left_out(
    space: Make, table: Make, bank_of: Make
) -> None:
    banks = {"valve": bank_of(table("valve"))}
    both = space(fixed={}, search={"family": {"presets": FAMILIES}})
    left, why = fitting(both, banks)
    assert left.search["family"].options == ("few",)
    assert list(why) == ["many"]
    assert why["many"].startswith("components = 5000 need as many training clips")
    check_all(left, banks)
    many = space(fixed={}, search={"family": {"presets": {"many": FAMILIES["many"]}}})
    with pytest.raises(UsageError, match="valve: no kind of detector does for its recordings: many: compon"):
        fitting(many, banks)


CLASSIFIER = {"family": "classifier", "spectrogram": {"n_fft": 128, "chunk_frames": 16, "n_mels": 16}}


def test_what_does_for_one_machine_alone_is_left_to_it(space: Make, table: Make, bank_of: Make) -> None:
    banks = {"fan": bank_of(table("fan")), "pump": bank_of(table("pump", sections=1))}
    presets = {"few": FAMILIES["few"], "folders": CLASSIFIER}
    left, why = fitting(
        space(fixed={}, sampler="grid", trials=None, search={"family": {"presets": presets}}), banks
    )
    assert why == {"folders": "labels: auto gives only one class (section_00), a classifier needs two (pump)"}
    chosen = {m: [run.params["family"] for run in left.runs(m)] for m in banks}
    assert chosen == {"fan": ["few", "folders"], "pump": ["few"]}
    again = check_space(left.model_dump(mode="json"), where="plan")
    assert again.runs("pump") == left.runs("pump")


def test_what_a_space_leaves_out_of_a_machine_stays_out(space: Make, table: Make, bank_of: Make) -> None:
    banks = {name: bank_of(table(name)) for name in ("fan", "valve")}
    presets = {name: FAMILIES["few"] | {"components": n} for n, name in enumerate(("one", "two"), start=1)}
    family = {"presets": presets | {"many": FAMILIES["many"]}, "left_out": {"fan": ["one"]}}
    written = space(fixed={}, sampler="grid", trials=None, search={"family": family})
    left, why = fitting(written, banks)
    assert list(why) == ["many"]
    chosen = {m: [run.params["family"] for run in left.runs(m)] for m in banks}
    assert chosen == {"fan": ["two"], "valve": ["one", "two"]}
    family["left_out"] = {"fan": list(family["presets"])}
    with pytest.raises(UsageError, match="left_out: leaves fan no preset; name fewer"):
        space(fixed={}, search={"family": family})


def test_shared_kinds_and_what_starts_from_them_are_left_out_of_a_machine_alone(
    space: Make, table: Make, bank_of: Make
) -> None:
    tuned = {**CLASSIFIER, "training": {"start": "shared"}}
    family = {
        "presets": {"few": FAMILIES["few"], "tuned": tuned, "of all": CLASSIFIER},
        "shared": ["of all"],
    }
    all_of = space(fixed={}, sampler="grid", trials=None, shared_trials=1, search={"family": family})
    fan, valve = (bank_of(table(name)) for name in ("fan", "valve"))
    left, why = fitting(all_of, {"fan": fan})
    assert (left.shared_trials, [run.params["family"] for run in left.runs("fan")]) == (0, ["few"])
    assert why == {
        "of all": "shared trials need two machines or more, there is fan alone",
        "tuned": "it starts from shared trials, and there are none",
    }
    check_space(left.model_dump(mode="json"), where="plan")
    both, nothing = fitting(all_of, {"fan": fan, "valve": valve})
    assert (both.shared_trials, nothing) == (1, {})
    assert both == all_of
