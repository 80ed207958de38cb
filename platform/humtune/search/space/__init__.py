"""Spaces: what a search chooses from; how one is read and checked, and whether recordings fit it."""

from humtune.search.space.checks import check_space, planned_space
from humtune.search.space.files import carried_systems, read_space
from humtune.search.space.space import Space

__all__ = ["Space", "carried_systems", "check_space", "planned_space", "read_space"]
