"""What humtune says when it can't go on: one clear sentence with the file, the value and the mend."""


class HumtuneError(Exception):
    """A run that failed for a reason the user can read; the command line exits with 1."""

    exit_code = 1


class UsageError(HumtuneError):
    """A wrong word, file or value given by the user; the command line exits with 2."""

    exit_code = 2
