"""What an ensemble's student is worth: its figures beside its teacher's and the best single detector's."""

from pydantic import Field

from humtune.config import Frozen, Stored
from humtune.errors import UsageError
from humtune.ledger import Ledger, read_stored, searches
from humtune.names import command

STUDENT, ENSEMBLE, SINGLE = "student", "ensemble", "best single"
KINDS = ("select", "hidden", "report")  # of labelled clips, as in `Reading`


def students_name(search: str) -> str:
    """What the search of a search's students is called, where nobody says."""
    return f"{search}-distilled"


def find_students(ledger: Ledger) -> Ledger | None:
    """The search of a search's students by their usual name; None where there is none, or one of others."""
    name = students_name(ledger.name)
    students = Ledger(ledger.storage, name)
    is_there = name in searches(ledger.storage)
    return students if is_there and students.plan.asked.taught_by == ledger.name else None


def open_students(ledger: Ledger) -> Ledger:
    """The search of a search's students; a UsageError that says how to make it where there is none."""
    if (students := find_students(ledger)) is None:
        distil = command("distill", ledger.name, storage=ledger.storage.option)
        raise UsageError(f"search '{ledger.name}' has no students; {distil} teaches them")
    return students


class Lead(Frozen):
    """How much higher one Ω is than another on the same clips: fractions, with a 90 % interval."""

    estimate: float
    low: float
    high: float


class Side(Frozen):
    """One detector of a comparison."""

    way: str  # STUDENT, ENSEMBLE or SINGLE
    name: str  # a trial's, with its score type, or an ensemble's id
    omega: dict[str, float] = Field({}, description="kind of labelled clips -> official Ω, 0…1")
    lead: dict[str, Lead] = Field({}, description="the same -> the student's over this one; none of its own")
    splits: tuple[float, ...] = Field((), description="cross-fitted Ω of each split, the same for all three")
    pseudo: float | None = None
    size: int = Field(description="bytes of its ONNX file")
    seconds: float = Field(description="of one core, for a usual clip; all three in one run")


class Comparison(Stored):
    """A machine's best student, its teacher, and the best single detector of the teacher's search."""

    machine: str
    teacher: str  # the search
    ensemble: str  # hash of its scores
    sides: tuple[Side, ...]
    agreement: float  # rank correlation of student and ensemble over all scored recordings
    chosen_by_labels: (
        bool  # the ensemble: its Ω on the selecting clips is too high, and so may the student's be
    )
    note: str = ""  # why nothing was cross-fitted

    def side(self, way: str) -> Side:
        """The detector of one way."""
        return next(side for side in self.sides if side.way == way)


def write_comparison(ledger: Ledger, found: Comparison) -> None:
    """Keep it with the students' search."""
    ledger.storage.write(ledger.layout.student(found.machine), found.model_dump_json(indent=1).encode())


def find_comparison(ledger: Ledger, machine: str) -> Comparison | None:
    """What is known of a machine's best student; None before it was measured."""
    try:
        return read_stored(ledger.storage, ledger.layout.student(machine), Comparison)
    except FileNotFoundError:
        return None


def comparisons(ledger: Ledger) -> list[Comparison]:
    """Those of a search of students; of another search, those of its students by their usual name."""
    if ledger.plan.asked.taught_by is None:
        if (students := find_students(ledger)) is None:
            return []
        ledger = students
    return [found for machine in ledger.plan.machines if (found := find_comparison(ledger, machine))]
