"""What the shell completes: names of architectures, formats and targets, read without importing
Keras, and files.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem


def architectures() -> list[str]:
    """The names of all architectures that are shipped."""
    folder = _package() / "models" / "architectures"
    return sorted(name for path in folder.glob("[!_]*.py") for name in _names(path))


def formats() -> list[str]:
    """The names of all formats of files, those of other packages included."""
    own = {path.stem for path in (_package() / "exporters" / "formats").glob("[!_]*.py")}
    return sorted(own | {point.name for point in entry_points(group="keras_kd.formats")})


def targets() -> list[str]:
    """The names of all places where a file can be told to run."""
    values = _assigned(_package() / "exporters" / "targets.py")["TARGETS"]
    return [ast.literal_eval(key) for key in values.keys if key]


def formats_and_targets() -> list[str]:
    """What --formats takes."""
    return [*formats(), *targets()]


def _package() -> Path:
    import keras_kd

    return Path(keras_kd.__file__).parent


def _names(path: Path) -> list[str]:
    """The value of NAMES in a module's source: a tuple of texts, or of a dictionary's keys."""
    values = _assigned(path)
    names = values["NAMES"]
    if isinstance(names, ast.Call):
        names = values[ast.unparse(names.args[0])]
    return list(ast.literal_eval(names))


def _assigned(path: Path) -> dict[str, Any]:
    """The expressions of a module's names."""
    return {
        node.targets[0].id: node.value
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }


class Text(click.types.StringParamType):
    """A text that the shell completes by names, after its last comma, and by files."""

    def __init__(self, names: Callable[[], list[str]] = list) -> None:
        self._names = names

    def shell_complete(
        self, context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return what the text can go on with."""
        before, comma, last = incomplete.rpartition(",")
        found = [name for name in self._names() if name.startswith(last)]
        items = [CompletionItem(before + comma + name) for name in found]
        return [*items, CompletionItem(incomplete, type="file")]


_COMPLETED = {
    "student": architectures,
    "teacher": architectures,
    "formats": formats_and_targets,
    "format": formats,
    "target": targets,
}


def prepare(command: click.Command) -> click.Command:
    """Let the shell complete all texts that a command takes."""
    for parameter in command.params:
        if parameter.type is click.STRING:
            parameter.type = Text(_COMPLETED.get(parameter.name, list))
    return command
