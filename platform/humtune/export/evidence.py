"""What a model said of clips that trained nothing, from which its threshold comes."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from humtune.export.blueprint import Blueprint
from humtune.export.graph import Member
from humtune.export.left_out import can_leave_out, compares, left_out_scores
from humtune.runtime.info import DomainScores, Evidence
from humtune.runtime.promises import HealthyScores, grouped
from humtune.runtime.timeline import count_windows
from humtune.sounds.added import reviewed
from humtune.sounds.bank import ClipBank
from humtune.sounds.groups import group_names, recording_names
from humtune.sounds.parallel import tracked
from humtune.sounds.table import ANOMALY, NORMAL, SOURCE, TARGET, ClipTable, Role

LEAST_HELD_OUT = 5  # clips of a domain: with fewer, those that trained a network say more, though too little

_DOMAINS = {SOURCE: "source", TARGET: "target"}
_PARTS = {Role.SELECT: "dev", Role.HIDDEN: "hidden", Role.REPORT: "eval"}


def gather_evidence(plan: Blueprint, left_out: HealthyScores) -> Evidence:
    """What is known of a model's scores, beside those of `score_left_out`."""
    clips = plan.measured.clips
    return Evidence(
        held_out=plan.scores[clips.having(Role.HELD_OUT)].tolist(),
        clip_samples=_usual_samples(plan.bank),
        left_out=left_out.groups,
        clip_windows=left_out.length if left_out.overlapping else None,
        tested=domain_scores(clips, plan.scores),
    )


def domain_scores(clips: ClipTable, scores: NDArray[np.float64]) -> tuple[DomainScores, ...]:
    """Scores [N] of the table, of each part and domain with test clips of both kinds."""
    found = []
    for role, part in _PARTS.items():
        for domain in np.unique(clips.domain):
            here = (clips.role == str(role)) & (clips.domain == domain)
            normal, anomaly = here & (clips.label == NORMAL), here & (clips.label == ANOMALY)
            if normal.any() and anomaly.any():
                found.append(
                    DomainScores(
                        part=part,
                        domain=_DOMAINS.get(int(domain), "any"),
                        normal=scores[normal].tolist(),
                        anomaly=scores[anomaly].tolist(),
                    )
                )
    return tuple(found)


def score_left_out(plan: Blueprint, *, window: int) -> HealthyScores:
    """Scores of healthy clips, in windows of so many samples, by the model without their group.

    Clips that were cut from recordings are scored as these will be: in windows half over each other, from end
    to end. Of other clips the score is their strangest window's.
    These are all clips that it was made of, where every member can do without some of them; else the
    held-out ones, and of a domain that has hardly any, all. Reviewed ones never count: they are the strangest
    of many, and a limit by them too would be far too high.
    """
    table = plan.bank.table
    clips = table.having(Role.TRAIN, Role.HELD_OUT)
    if not _all_can(plan.members):
        clips = clips[(table.role[clips] == str(Role.HELD_OUT)) | np.isin(table.domain[clips], _few(table))]
    clips = clips[~reviewed(table)[clips]]
    groups = group_names(table.attributes, table.section, table.domain)
    joined = bool((recording_names(table.attributes)[clips] != "").all())
    total: NDArray[np.float64] | float = 0.0
    title = f"{table.machine}: checking the limit"
    for member in tracked(plan.members, total=len(plan.members), title=title):
        own, of = left_out_scores(
            member.detector, member.score_type, plan.bank, clips, groups, window=window, joined=joined
        )
        total = total + member.weight * (own if member.calibration is None else member.calibration(own))
    scores, clip = np.asarray(total), clips[of]
    if not joined:
        scores, clip = np.full(len(clips), -np.inf), clips
        np.maximum.at(scores, of, total)
    domains = [_DOMAINS.get(domain, "any") for domain in table.domain[clip].tolist()]
    length = count_windows(_usual_samples(plan.bank), window) if joined else 1
    return HealthyScores(grouped(scores, domains, groups[clip]), overlapping=joined, length=length)


def how_scored(members: Sequence[Member], table: ClipTable) -> str:
    """What the clips of `score_left_out` had to do with the model that scored them, in a sentence or two."""
    if _all_can(members):
        if not any(compares(member.detector, member.score_type) for member in members):
            return "Each clip was scored by the model without the clips of its group."
        return (
            "Each clip was compared with references of other groups alone. What else was trained, such as a\n"
            "network, stays as it is and knows most of these clips: to it a new one may be a little stranger."
        )
    held_out = "The clips were held out: nothing was trained on them, but it was on others of their group"
    if not (few := [_DOMAINS.get(domain, "") for domain in _few(table)]):
        return f"{held_out}."
    of = f" of the {' and '.join(few)} domain" if all(few) else ""
    return (
        f"{held_out}.\nHardly any{of} were, so those that the model was trained on count too: to it new ones "
        "will be stranger."
    )


def _usual_samples(bank: ClipBank) -> int:
    return int(np.median(bank.lengths[bank.table.having(Role.HELD_OUT)]))


def _all_can(members: Sequence[Member]) -> bool:
    return all(can_leave_out(member.detector, member.score_type) for member in members)


def _few(table: ClipTable) -> list[int]:
    """The domains of which hardly any clips are held out."""
    kept_out = table.domain[table.having(Role.HELD_OUT)]
    healthy = np.unique(table.domain[table.having(Role.TRAIN, Role.HELD_OUT)])
    return [int(domain) for domain in healthy if (kept_out == domain).sum() < LEAST_HELD_OUT]
