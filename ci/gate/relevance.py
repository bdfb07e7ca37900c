"""What a change to a path can break: the units that opened it when they last passed, the most specific first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ci.gate.results import Results
from ci.gate.units import Unit


def relative(root: Path, path: str) -> str:
    """Return a path as the results name it: relative to the checkout at ``root``."""
    whole = Path(path).resolve()
    return str(whole.relative_to(root)) if whole.is_relative_to(root) else path


def order(
    units: Sequence[Unit], paths: Sequence[str], results: Results, root: Path
) -> tuple[list[Unit], dict[str, float]]:
    """Return the units that a change to any of ``paths`` can break, and a rank for each: the highest runs first.

    A unit that has never passed here may depend on anything, so it is among them, after those that are known to
    depend on the paths. A linter reads the whole tree, so it tells little about one path: linters come last.
    """
    found: dict[str, tuple[bool, bool, bool, int]] = {}
    chosen: list[Unit] = []
    for unit in units:
        known = results.load(unit.id)
        if known and not any(_touches(known[0].inputs, path, root) for path in paths):
            continue
        named = any(_named_after(unit, path) for path in paths)
        found[unit.id] = (not known, not named, unit.whole, len(known[0].inputs) if known else 0)
        chosen.append(unit)
    chosen.sort(key=lambda unit: found[unit.id])
    return chosen, {unit.id: float(len(chosen) - place) for place, unit in enumerate(chosen)}


def _touches(inputs: dict[str, str], path: str, root: Path) -> bool:
    """Tell whether a path is an input, or a directory above one, or a new file beside one."""
    prefix = path.rstrip("/") + "/"
    if path in inputs or any(name.startswith(prefix) for name in inputs):
        return True
    above = str(PurePosixPath(path).parent)
    return not (root / path).exists() and ("" if above == "." else f"{above}/") in inputs


def _named_after(unit: Unit, path: str) -> bool:
    """Tell whether a unit bears the name of the role, the package or the module that a path belongs to."""
    named = any(f"/{name}/" in f"/{path.replace('.', '/')}/" for name in (unit.name, *unit.roles))
    return named or any(str(PurePosixPath(word)) == path for word in unit.command)
