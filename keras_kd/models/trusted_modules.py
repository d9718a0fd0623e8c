"""The user's own layers in model files: only those of modules that the user names."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
from types import ModuleType
from typing import Any

import keras

from keras_kd._common import trust as trusting
from keras_kd._common.arrays import fingerprint
from keras_kd._common.files import refuse_special
from keras_kd.errors import ModelError


def trust(module: str) -> ModuleType:
    """Allow model files to name the layers and functions of a module, in this process and its
    children.

    The module is imported, so its code is run: name only one that you would run yourself.

    Args:
        module: its name, or the path of a .py file.

    Returns:
        The module.

    Raises:
        ModelError: it can't be imported.
    """
    imported = _imported(module)
    names = dict.fromkeys([*trusting.trusted(), trusting.named(module)])
    os.environ[trusting.VARIABLE] = os.pathsep.join(names)
    return imported


def _imported(module: str) -> ModuleType:
    try:
        if not module.endswith(".py"):
            return importlib.import_module(module)
        # A unique name, which hides no other module.
        path = os.path.abspath(module)
        refuse_special(path)
        name = f"kerakd_trusted_{fingerprint([path])}"
        if name not in sys.modules:
            spec = importlib.util.spec_from_file_location(name, path)
            sys.modules[name] = importlib.util.module_from_spec(spec)
            try:
                spec.loader.exec_module(sys.modules[name])
            except BaseException:
                del sys.modules[name]  # Half made.
                raise
        return sys.modules[name]
    except Exception as error:
        # A module raises what its code raises.
        missing = isinstance(error, (FileNotFoundError, ModuleNotFoundError))
        advice = "give the name of an installed module, or the path of a .py file"
        raise ModelError(
            f"The trusted module {module} can't be imported ({type(error).__name__}: {error}):"
            f" {advice if missing else 'mend it'}."
        ) from error


def own_objects() -> dict[str, Any]:
    """Return the classes and functions besides Keras' that a file may name, by their registered
    names.

    These are the ones that keras_kd registers, and those that the trusted modules register or
    define as Keras classes.
    """
    modules = [_imported(name) for name in trusting.trusted()]
    rooms = ("keras_kd", *(module.__name__ for module in modules))
    registered = keras.saving.get_custom_objects().items()
    found = {name: thing for name, thing in registered if _lies_in(thing, rooms)}
    for module in modules:
        classes = {name: kind for name, kind in vars(module).items() if _is_own_class(kind, module)}
        found |= {keras.saving.get_registered_name(kind): kind for kind in classes.values()}
    return found


def _lies_in(thing: Any, rooms: tuple[str, ...]) -> bool:
    home = getattr(thing, "__module__", None)
    return any(f"{home}.".startswith(f"{room}.") for room in rooms)


def _is_own_class(kind: Any, module: ModuleType) -> bool:
    return (
        inspect.isclass(kind)
        and hasattr(kind, "from_config")
        and kind.__module__ == module.__name__
    )
