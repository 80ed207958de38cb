"""What humtune says when it can't go on: one clear sentence with the file, the value and the mend."""


class HumtuneError(Exception):
    """A run that failed for a reason the user can read; the command line exits with 1."""

    exit_code = 1


class UsageError(HumtuneError):
    """A wrong word, file or value given by the user; the command line exits with 2."""

    exit_code = 2


class Superseded(HumtuneError):
    """What is written here belongs to a sitting that another one has taken over from."""


class DamagedScores(HumtuneError):
    """A trial's score file that can't be read: the trial is out, the others are not."""
