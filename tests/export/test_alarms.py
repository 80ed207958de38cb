import numpy as np

from humtune.export.alarms import gather_evidence
from humtune.runtime.info import Alarms
from humtune.sounds.table import ANOMALY, NORMAL, SOURCE, TARGET, UNKNOWN, ClipTable, Role


def table(*rows) -> ClipTable:
    role, domain, label = zip(*rows, strict=True)
    n = len(rows)
    return ClipTable.from_columns(
        machine="fan",
        name=[f"{i}.wav" for i in range(n)],
        part=["dev"] * n,
        split=["test"] * n,
        section=[0] * n,
        domain=domain,
        label=label,
        attributes=[""] * n,
        role=[str(r) for r in role],
    )


def test_each_part_and_domain_has_its_own_shares():
    clips = table(
        (Role.HELD_OUT, SOURCE, NORMAL),
        *[(Role.SELECT, SOURCE, NORMAL)] * 4,
        *[(Role.SELECT, SOURCE, ANOMALY)] * 2,
        *[(Role.SELECT, TARGET, NORMAL)] * 2,
        (Role.SELECT, TARGET, ANOMALY),
        (Role.REPORT, SOURCE, NORMAL),
        (Role.REPORT, SOURCE, ANOMALY),
        (Role.REPORT, UNKNOWN, UNKNOWN),
    )
    scores = np.array([9.0, 0, 1, 2, 3, 1, 3, 3, 3, 0, 0, 5, 9])
    evidence = gather_evidence(clips, scores, clip_samples=160_000)
    assert (evidence.held_out, evidence.clip_samples) == ((9.0,), 160_000)
    assert list(evidence.alarms(1.0)) == [
        Alarms("dev", "source", 4, 0.5, 2, 0.5),
        Alarms("dev", "target", 2, 1.0, 1, 0.0),
        Alarms("eval", "source", 1, 0.0, 1, 1.0),
    ]


def test_a_data_set_without_domains_has_one_line():
    clips = table((Role.SELECT, UNKNOWN, NORMAL), (Role.SELECT, UNKNOWN, ANOMALY))
    (alarms,) = gather_evidence(clips, np.array([0.0, 1.0]), clip_samples=1).alarms(0.5)
    assert alarms == Alarms("dev", "any", 1, 0.0, 1, 1.0)
    assert alarms.to_figures() == {"false_alarms_dev_any": 0.0, "caught_dev_any": 1.0}


def test_without_labels_there_is_nothing_to_count():
    clips = table((Role.REPORT, UNKNOWN, UNKNOWN), (Role.SELECT, SOURCE, NORMAL))
    assert gather_evidence(clips, np.zeros(2), clip_samples=1).tested == ()
