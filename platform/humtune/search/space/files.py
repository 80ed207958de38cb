"""Where spaces lie, and how one is read that extends another."""

from importlib.resources import files
from pathlib import Path
from typing import Any

from humtune.config import SHARED, check_spelled_once, set_path
from humtune.detectors.recipe import Recipe, recipe_of
from humtune.errors import UsageError
from humtune.search.space.checks import check_space
from humtune.search.space.dimensions import FAMILY
from humtune.search.space.grid import grid
from humtune.search.space.space import START, Space, nested, starts
from humtune.search.space.strict_yaml import read_mapping

OF_FOLDERS = (
    "description",
    "sampler",
    "seeds",
    "trials",
    "shared_trials",
    "fixed",
    "search",
)  # keys of spaces searched together
MERGED = ("fixed", "machines")  # leaf by leaf with those of the space that is extended


def read_space(name: str) -> tuple[str, Space]:
    """The name and content of a space: a YAML file's path, or the bare name of one in `search_spaces`.

    A bare name is looked up in ./search_spaces, then among those that humtune carries; one with a slash in
    a folder of it. That of a folder means all of its spaces. Raises a UsageError that names the file, the
    key, its value and what would be right.
    """
    path = _find(name)
    if path.is_dir():
        return path.name, check_space(_of_folder(path), where=str(path))
    return path.stem, _space(path, _read(path))


def _space(path: Path, raw: dict[str, Any]) -> Space:
    """What a file says; one that has all of its points takes no number of trials but none at all."""
    if raw.get("sampler") in ("grid", "listed") and raw.get("trials") not in (None, 0):
        raise UsageError(
            f"{path}: trials = {raw['trials']!r}: sampler: {raw['sampler']} runs all of its points; leave it "
            "out, --trials runs fewer"
        )
    return check_space(raw, where=str(path))


def carried_systems() -> dict[str, list[Recipe]]:
    """The recipes of each published system that humtune carries, and of each small one: tiny/NAME."""
    folder = next(path for f in space_folders()[1:] if (path := f / "systems").is_dir())
    found = {}
    for name in _names(folder, "**/*.yaml"):
        path = folder / f"{name}.yaml"
        space = check_space(_read(path), where=str(path))
        shared = [
            space.recipe(run.params, machine=SHARED) for run in space.runs(SHARED) if space.shared_trials
        ]
        own = [space.recipe(run.params) for run in space.runs("") if space.trials != 0]
        tuned = [r.starting_from(other) for r in own if r.starts_shared for other in shared]
        found[name] = [r for r in own if not r.starts_shared] + tuned + shared
    return found


def _of_folder(folder: Path) -> dict[str, Any]:
    """Every point of a folder's spaces: each is a preset of the family, run with as many seeds as any.

    Shared trials are those of the spaces that ask for some; a space's own trials start from the best of its.
    """
    presets: dict[str, dict[str, Any]] = {}
    spaces = {name: _of_one_folder(folder / f"{name}.yaml", folder.name) for name in _names(folder, "*.yaml")}
    shared: dict[str, dict[str, Any]] = {}
    starting: dict[str, list[str]] = {}
    for name, space in spaces.items():
        own = _presets(space, name) if space.trials != 0 else {}
        of_all = _presets(space, f"{name} {SHARED}", study=SHARED) if space.shared_trials else {}
        if space.starting_shared:
            starting |= {preset: [*of_all] for preset in own}
        presets |= own
        shared |= of_all
    return {
        "sampler": "grid",
        "seeds": max((space.seeds for space in spaces.values()), default=1),
        "shared_trials": sum(space.shared_trials for space in spaces.values()),
        "search": {FAMILY: {"presets": presets | shared, "shared": [*shared], "starts": starting}},
    }


def _of_one_folder(path: Path, folder: str) -> Space:
    """A space that can be searched together with others."""
    raw = _read(path)
    space = _space(path, raw)
    more = sorted(raw.keys() - OF_FOLDERS - {"machines"})
    more += [f"machines.{machine}" for machine in space.machines if not space.is_shared(machine)]
    if space.sampler != "grid" or more:
        why = f"it sets {more[0]}" if space.sampler == "grid" else f"its sampler is {space.sampler}"
        raise UsageError(
            f"{path}: {why}, and spaces of a folder are searched together where each is a grid with "
            f"nothing but {', '.join(OF_FOLDERS)}, machines.{SHARED}; search {folder}/{path.stem} by itself"
        )
    return space


def _presets(space: Space, name: str, *, study: str | None = None) -> dict[str, dict[str, Any]]:
    """A study's points of a space as presets of the family, by the space's name and the points' values."""
    presets = {}
    points = space.chosen_by(study, grid(space.search))
    for point in points:
        settings = space.settings(point, machine=study)
        del settings["seed"]
        if space.is_shared(study) and starts(settings):
            set_path(settings, START, None)
        values = [f"{key.rpartition('.')[2]}={value}" for key, value in point.items()]
        called = name if len(points) == 1 else " ".join((name, *values))
        presets[called] = {**settings, FAMILY: recipe_of(settings).family}
    return presets


def _read(path: Path, *extending: Path) -> dict[str, Any]:
    """A file's keys over those of the space that it extends; `extending` are the files that led here."""
    raw = read_mapping(path)
    _check_written(raw, path)
    if "extends" not in raw:
        return raw
    wanted = raw.pop("extends")
    said = f"{path}: extends = {wanted!r}"
    if not isinstance(wanted, str):
        raise UsageError(f"{said}: should be the name of one space")
    try:
        base = _find(wanted, beside=path)
    except UsageError as error:
        raise UsageError(f"{said}: {error}") from error
    if base.resolve() in (*extending, path.resolve()):
        raise UsageError(f"{said}: leads back to {base}; a space can't extend itself")
    extended = _read(base, *extending, path.resolve())
    try:
        return _merged(extended, raw)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def _check_written(raw: dict[str, Any], path: Path) -> None:
    """Refuse what stands twice in a file, where the last or both would count without a word."""
    trees = {"fixed": raw.get("fixed"), **_below("machines", raw.get("machines"))}
    for name, dimension in _below("search", raw.get("search")).items():
        if isinstance(dimension, dict):
            trees |= _below(f"{name}.presets", dimension.get("presets"))
            for preset, opened in _below(f"{name}.search", dimension.get("search")).items():
                for below, values in _below(preset, opened).items():
                    _check_choice(values, f"{path}: {below}")
        _check_choice(dimension, f"{path}: {name}")
    for name, tree in trees.items():
        if isinstance(tree, dict):
            try:
                check_spelled_once(tree)
            except UsageError as error:
                raise UsageError(f"{path}: {name}: {error}") from error


def _below(name: str, value: Any) -> dict[str, Any]:
    return {f"{name}.{key}": below for key, below in value.items()} if isinstance(value, dict) else {}


def _check_choice(dimension: Any, where: str) -> None:
    values = dimension.get("values") if isinstance(dimension, dict) else dimension
    if isinstance(values, list):
        for count, value in enumerate(values):
            if value in values[:count]:
                raise UsageError(f"{where}: {value!r} stands twice; keep one")


def _merged(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    merged = base | own
    if _settings(base.get("fixed")) and _settings(own.get("fixed")):
        merged["fixed"] = nested(base["fixed"], own["fixed"])
    below, above = base.get("machines"), own.get("machines")
    if isinstance(below, dict) and isinstance(above, dict):
        both = [m for m in above if _settings(below.get(m)) and _settings(above[m])]
        merged["machines"] = below | above | {m: nested(below[m], above[m]) for m in both}
    return merged


def _settings(value: Any) -> bool:
    """Whether a value is a mapping by names; what is not stays as it is, to be refused when it is checked."""
    return isinstance(value, dict) and all(isinstance(name, str) for name in value)


def _find(name: str, *, beside: Path | None = None) -> Path:
    """The file of a space; first among the siblings of the one that extends it, which is not meant itself."""
    folder = beside.parent if beside else Path()
    if Path(name).suffix in {".yaml", ".yml"}:
        given = folder / name
        if not given.is_file():
            raise UsageError(f"no search space at {given}")
        return given
    folders = [*([folder] if beside else []), *space_folders()]
    for path in (f / f"{name}.yaml" for f in folders):
        if path.is_file() and not (beside and path.samefile(beside)):
            return path
    for path in (f / name for f in folders):
        if not beside and path.is_dir() and _names(path, "*.yaml"):
            return path
    known = ", ".join(sorted({name for f in space_folders() for name in _names(f, "**/*.yaml")}))
    raise UsageError(f"no search space named '{name}'; there are: {known}")


def _names(folder: Path, pattern: str) -> list[str]:
    """The spaces of a folder in order; a file whose name begins with _ is a part of others."""
    paths = (p for p in sorted(folder.glob(pattern)) if not p.name.startswith("_"))
    return [p.relative_to(folder).with_suffix("").as_posix() for p in paths]


def space_folders() -> list[Path]:
    """Where bare names are looked up: here, in the installed package, in the checkout it is run from."""
    package = Path(str(files("humtune")))
    return [Path("search_spaces"), package / "search_spaces", package.parents[1] / "search_spaces"]
