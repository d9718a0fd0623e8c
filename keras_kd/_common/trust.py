"""Which code of the user's own may run: what the user names, and what a file names only if the user
trusts it.
"""

from __future__ import annotations

import os

# In the environment, so that processes started from here trust the same.
VARIABLE = "KERAKD_TRUSTED_MODULES"


def trusted() -> list[str]:
    """Return the modules that the user trusts, by name or by the whole path of a .py file."""
    return [name for name in os.environ.get(VARIABLE, "").split(os.pathsep) if name]


def is_trusted(module: str) -> bool:
    """Whether a module, by name or by the path of its .py file, is one of `trusted`."""
    return named(module) in trusted()


def named(module: str) -> str:
    """Return a module's name, or the whole path of its file, the same from any folder."""
    return os.path.abspath(module) if module.endswith(".py") else module


def code(source: str) -> tuple[str, str] | None:
    """Return the module and the function of `package.module:function` or `file.py:function`; None
    for any other text.
    """
    module, _, function = source.rpartition(":")
    is_module = module.endswith(".py") or all(part.isidentifier() for part in module.split("."))
    return (
        (module, function) if is_module and function.isidentifier() and module != "keras" else None
    )
