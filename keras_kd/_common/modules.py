"""Modules that are found by their names, so that adding one is adding its file."""

from __future__ import annotations

import pkgutil
from types import ModuleType


def module_names(package: ModuleType) -> list[str]:
    """Return the names of a package's public modules, sorted."""
    found = (module.name for module in pkgutil.iter_modules(package.__path__))
    return sorted(name for name in found if not name.startswith("_"))
