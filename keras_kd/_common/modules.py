"""Modules that are found by their names, so that adding one is adding its file.

Other packages add modules by entry points, see docs/architecture.md.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import os
import pkgutil
import sys
from contextlib import suppress
from importlib.abc import InspectLoader
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType


def module_names(package: ModuleType, group: str | None = None) -> list[str]:
    """Return the names of a package's public modules, and of those that other packages add to the
    entry-point group, sorted.
    """
    found = {module.name for module in pkgutil.iter_modules(package.__path__)}
    added = {point.name for point in _added(group)}
    return sorted({name for name in found if not name.startswith("_")} | added)


def module(package: ModuleType, name: str, group: str | None = None) -> ModuleType:
    """Import a module by one of `module_names`; a package's own goes before one that is added."""
    name = _spelled(name)
    own = any(found.name == name for found in pkgutil.iter_modules(package.__path__))
    added = [point for point in _added(group) if _spelled(point.name) == name]
    if own or not added:
        return importlib.import_module(f"{package.__name__}.{name}")
    return added[0].load()


def _added(group: str | None) -> tuple[EntryPoint, ...]:
    """Return the entry points of a group; none without a group.

    They are read anew where a package was added or removed, as in a notebook: Python reads files of
    all installed packages each time, and one data set's form is looked for in all readers.
    """
    return _points(group, _places()) if group else ()


@functools.lru_cache(maxsize=16)
def _points(group: str, places: tuple[tuple[str, int], ...]) -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=group))


def _places() -> tuple[tuple[str, int], ...]:
    """The folders in which Python looks for packages, and when each got or lost an entry last."""
    places = []
    for folder in sys.path:
        with suppress(OSError):  # Python passes over what isn't there, too.
            places.append((folder, os.stat(folder or ".").st_mtime_ns))
    return tuple(places)


def summaries(package: ModuleType, group: str | None = None) -> dict[str, str]:
    """Return the first paragraph of each module's docstring, on one line, by `module_names`.

    The modules are read and not imported, as help must not wait for what they import.
    """
    added = {point.name: point.module for point in _added(group)}
    own = {name: f"{package.__name__}.{name}" for name in module_names(package)}
    places = added | own
    return {name: summary(places[name]) for name in sorted(places)}


def summary(module: str) -> str:
    """Return the first paragraph of a module's docstring on one line; "" where it has none."""
    spec = importlib.util.find_spec(module)
    loader = spec.loader if spec else None
    source = loader.get_source(module) if isinstance(loader, InspectLoader) else None
    docstring = ast.get_docstring(ast.parse(source or "")) or ""
    return " ".join(docstring.partition("\n\n")[0].split())


def _spelled(name: str) -> str:
    """The name as Python's modules have it: users write hyphens."""
    return name.replace("-", "_")
