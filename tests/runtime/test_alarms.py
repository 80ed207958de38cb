"""A command that is run for alarms: when, with what, and what becomes of one that fails."""

import shlex
from pathlib import Path

import pytest
from models import make_info
from waiting import wait_for

from humtune.errors import UsageError
from humtune.runtime.alarms import Alarms
from humtune.runtime.outcomes import Scored
from humtune.runtime.scale import Scale

NAMES = ("PATH", "SCORE", "LIMIT", "TIMES_LIMIT", "MACHINE", "HELD_BACK")


def scored(path, score=0.5, usual=None) -> Scored:
    return Scored(Path(path), score, Scale(0.1, usual), seconds=1.0)


@pytest.fixture
def told(tmp_path):
    """A command that writes what it is told, a line an alarm; those lines."""
    file = tmp_path / "told.txt"
    line = "|".join(f"$HUMTUNE_{name}" for name in NAMES)
    command = shlex.join(["sh", "-c", f'echo "{line}" >> {shlex.quote(str(file))}'])
    return command, lambda: file.read_text().splitlines() if file.exists() else []


def test_a_command_is_told_of_the_recording_whatever_its_name(told, tmp_path):
    command, lines = told
    with Alarms(command, make_info(), pytest.fail) as alarms:
        alarms.add(scored(tmp_path / "$(reboot) `x`;.wav", 0.18, usual=0.02))
    assert lines() == [f"{tmp_path}/$(reboot) `x`;.wav|0.18|0.1|2.00|fan|0"]


def test_each_alarm_has_a_command_where_none_is_held_back(told):
    command, lines = told
    with Alarms(command, make_info(), pytest.fail, every=0.0) as alarms:
        for count in range(1, 4):
            alarms.add(scored(f"/{count}.wav"))
            wait_for(lambda count=count: len(lines()) == count)
    assert lines() == [f"/{count}.wav|0.5|0.1||fan|0" for count in range(1, 4)]


def test_alarms_that_come_too_soon_are_one_when_the_time_has_come(told):
    command, lines = told
    with Alarms(command, make_info(), pytest.fail, every=0.5) as alarms:
        alarms.add(scored("/first.wav"))
        wait_for(lambda: lines())
        for name, score in (("low", 1.0), ("high", 3.0), ("middle", 2.0)):
            alarms.add(scored(f"/{name}.wav", score))
        wait_for(lambda: len(lines()) > 1)
    assert lines() == ["/first.wav|0.5|0.1||fan|0", "/high.wav|3|0.1||fan|2"]


def test_the_end_waits_for_no_time_and_holds_nothing_back(told):
    command, lines = told
    with Alarms(command, make_info(), pytest.fail, every=1_000.0) as alarms:
        alarms.add(scored("/first.wav"))
        wait_for(lambda: lines())
        alarms.add(scored("/last.wav"))
    assert [line.partition("|")[0] for line in lines()] == ["/first.wav", "/last.wav"]
    with Alarms(command, make_info(), pytest.fail):
        pass
    assert len(lines()) == 2


def test_a_command_that_fails_or_takes_too_long_is_one_line_each(tmp_path):
    program = tmp_path / "gone"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    lines = []
    for command, remove in (("sh -c 'exit 7'", False), ("sleep 1000", False), (str(program), True)):
        with Alarms(command, make_info(), lines.append, patience=0.5) as alarms:
            if remove:
                program.unlink()
            alarms.add(scored("/a.wav"))
    assert lines == [
        "--on-alarm sh: exit code 7, for /a.wav",
        "--on-alarm sleep: ended after 0.5 s, it should take less, for /a.wav",
        f"--on-alarm {program}: can't be run (No such file or directory), for /a.wav",
    ]


def test_scoring_never_waits_for_a_command(tmp_path):
    """However many alarms there are while one is still run: one thread, one alarm and a number are kept."""
    go = tmp_path / "go"
    wait = f"until [ -e {shlex.quote(str(go))} ]; do sleep 0.01; done"
    with Alarms(shlex.join(["sh", "-c", wait]), make_info(), pytest.fail, every=0.0) as alarms:
        for count in range(10_000):
            alarms.add(scored(f"/{count}.wav"))
        assert alarms.is_alive()  # the first command can't have ended
        go.touch()


@pytest.mark.parametrize("command", ["'", "", "no-such-program-here --now", "/"])
def test_what_can_be_no_command_is_told_at_once(command):
    with pytest.raises(UsageError, match=r"^--on-alarm "):
        Alarms(command, make_info(), pytest.fail)
