"""Public docstrings say what a reader needs: parameters by name, and what is returned."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "keras_kd"
MODULES = [
    path
    for path in sorted(PACKAGE.rglob("*.py"))
    if not any(part.startswith("_") for part in path.relative_to(PACKAGE).with_suffix("").parts)
    or (path.name == "__init__.py" and not path.parent.name.startswith("_"))
]
Definition = ast.FunctionDef | ast.ClassDef


def _definitions(body: list[ast.stmt]) -> Iterator[Definition]:
    for statement in body:
        if isinstance(statement, ast.If):
            yield from _definitions(statement.body)
        elif isinstance(statement, Definition) and not statement.name.startswith("_"):
            yield statement


def _sections(docstring: str) -> dict[str, str]:
    parts = re.split(r"^(Args|Returns|Yields|Raises):\n", docstring, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def _describes(place: str, function: str) -> bool:
    """Whether a package has a contract for functions of this name, or a function its arguments."""
    package = PACKAGE / place.replace(".", "/") / "__init__.py"
    if package.is_file():
        return f"{function}(" in ast.get_docstring(ast.parse(package.read_text("utf-8")))
    module, _, name = place.rpartition(".")
    path = PACKAGE / module.replace(".", "/")
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    found = [each for each in _definitions(ast.parse(path.read_text("utf-8")).body)
             if each.name == name]  # fmt: skip
    return bool(found) and "Args" in _sections(ast.get_docstring(found[0]) or "")


def _faults(function: ast.FunctionDef) -> Iterator[str]:
    reference = re.search(r"rguments:\s+see\s+`([\w.]+)`", ast.get_docstring(function) or "")
    if reference:
        if not _describes(reference[1], function.name):
            yield f"{reference[1]} describes no arguments of {function.name}"
        return
    arguments = function.args
    names = [each.arg for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    sections = _sections(ast.get_docstring(function) or "")
    described = re.findall(r"^    (\w+): \S", sections.get("Args", ""), flags=re.MULTILINE)
    if names != described:
        yield f"Args describes {described}, the parameters are {names}"
    returned = "None" if function.returns is None else ast.unparse(function.returns)
    if (
        names
        and returned not in ("None", "NoReturn")
        and not sections.keys() & {"Returns", "Yields"}
    ):
        yield f"it returns {returned} and has neither Returns nor Yields"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_docstrings_are_complete(path: Path) -> None:
    faults = []
    for definition in _definitions(ast.parse(path.read_text(encoding="utf-8")).body):
        methods = _definitions(definition.body) if isinstance(definition, ast.ClassDef) else ()
        for each in (definition, *methods):
            if not ast.get_docstring(each):
                faults.append(f"{each.name} has no docstring")
        if isinstance(definition, ast.FunctionDef):
            faults += [f"{definition.name}: {fault}" for fault in _faults(definition)]
    assert not faults, "\n".join(faults)


def test_an_incomplete_docstring_is_found() -> None:
    text = 'def f(a: int, b: int) -> int:\n    """Add.\n\n    Args:\n        a: one.\n    """\n'
    function = ast.parse(text).body[0]
    assert isinstance(function, ast.FunctionDef)
    assert len(list(_faults(function))) == 2


def test_a_reference_to_no_description_is_found() -> None:
    text = 'def write(a: int) -> int:\n    """Write. Arguments: see `exporters`."""\n'
    function = ast.parse(text).body[0]
    assert isinstance(function, ast.FunctionDef)
    assert not list(_faults(function))
    function.name = "read"
    assert list(_faults(function)) == ["exporters describes no arguments of read"]
