"""The packages that some distributions need and no others, as links to those that are installed here."""

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement


def closure(names: Iterable[str]) -> set[str]:
    """These distributions and all that they need, as far as they are installed for this Python."""
    found: set[str] = set()
    left = list(names)
    while left:
        name = left.pop()
        if name in found:
            continue
        try:
            requires = distribution(name).requires or []
        except PackageNotFoundError:  # a marker of another system
            continue
        found.add(name)
        parsed = map(Requirement, requires)
        left += [r.name for r in parsed if r.marker is None or r.marker.evaluate({"extra": ""})]
    return found


def link_packages(site: Path, names: Iterable[str]) -> None:
    """Have a folder of packages hold those of these distributions and of all that they need."""
    packages = Path(str(distribution("numpy").locate_file("")))
    for name in closure(names):
        for top in {file.parts[0] for file in distribution(name).files or []} - {"..", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(packages / top)
