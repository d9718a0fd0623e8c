"""Modules that are found by their names, so that adding one is adding its file.

Other packages add modules by entry points, see docs/architecture.md.
"""

from __future__ import annotations

import ast
import importlib.util
import pkgutil
from importlib.abc import InspectLoader
from importlib.metadata import entry_points
from types import ModuleType


def module_names(package: ModuleType, group: str | None = None) -> list[str]:
    """Return the names of a package's public modules, and of those that other packages add to the
    entry-point group, sorted.
    """
    found = {module.name for module in pkgutil.iter_modules(package.__path__)}
    added = {point.name for point in entry_points(group=group)} if group else set()
    return sorted({name for name in found if not name.startswith("_")} | added)


def module(package: ModuleType, name: str, group: str | None = None) -> ModuleType:
    """Import a module by one of `module_names`; a package's own goes before one that is added."""
    name = _spelled(name)
    own = any(found.name == name for found in pkgutil.iter_modules(package.__path__))
    points = entry_points(group=group) if group else ()
    added = [point for point in points if _spelled(point.name) == name]
    if own or not added:
        return importlib.import_module(f"{package.__name__}.{name}")
    return added[0].load()


def summaries(package: ModuleType, group: str | None = None) -> dict[str, str]:
    """Return the first paragraph of each module's docstring, on one line, by `module_names`.

    The modules are read and not imported, as help must not wait for what they import.
    """
    added = {point.name: point.module for point in entry_points(group=group)} if group else {}
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
