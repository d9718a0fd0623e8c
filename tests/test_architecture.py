"""The house's rules, read from the source: imports run one way, and each kind of thing has one
place.
"""

import ast
import configparser
import functools
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A room imports from its own floor and from those above it here; see docs/architecture.md.
FLOORS = [
    {"_common", "errors"},
    {"config", "losses"},
    {"datasets"},
    {"models"},
    {"distiller", "teachers"},
    {"training", "runtimes"},
    {"checkpoints"},
    {"exporters"},
    {"evaluation"},
    {"sessions", "reports"},
    {"reproduction"},
    {"pipelines"},
    {"cli", "__main__"},
]


def _modules() -> dict[str, Path]:
    """Source files by dotted name below keras_kd; cli/ is keras_kd.cli."""
    package = {
        ".".join(path.relative_to(ROOT / "keras_kd").with_suffix("").parts): path
        for path in (ROOT / "keras_kd").rglob("*.py")
    }
    return package | {f"cli.{path.stem}": path for path in (ROOT / "cli").glob("*.py")}


MODULES = _modules()


@functools.cache
def _nodes(name: str) -> tuple[ast.AST, ...]:
    """All nodes of a module's syntax tree."""
    return tuple(ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))))


@functools.cache
def _imports(name: str) -> set[str]:
    """Dotted names imported anywhere in a module, keras_kd's own relative to it."""
    found = set()
    for node in _nodes(name):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            package = name if MODULES[name].stem == "__init__" else name.rpartition(".")[0]
            found |= {f"keras_kd.{package}.{node.module or alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {
        module.removeprefix("keras_kd.") if module.startswith("keras_kd.") else f"/{module}"
        for module in found
    }


def _own(name: str) -> set[str]:
    return {module for module in _imports(name) if not module.startswith("/")}


def _room(name: str) -> str:
    return name.partition(".")[0]


@pytest.mark.parametrize("name", sorted(set(MODULES) - {"__init__"}))
def test_imports_run_one_way(name: str) -> None:
    floor = next(number for number, rooms in enumerate(FLOORS) if _room(name) in rooms)
    later = set().union(*FLOORS[floor + 1 :])
    assert not {imported for imported in _own(name) if _room(imported) in later}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_no_room_imports_a_private_name_of_another(name: str) -> None:
    foreign = {imported for imported in _own(name) if _room(imported) != _room(name)}
    private = {
        imported
        for imported in foreign
        if any(part.startswith("_") and part != "_common" for part in imported.split("."))
    }
    assert not private


def test_only_cli_imports_click_and_only_the_top_knows_config() -> None:
    clicking = {
        name
        for name in MODULES
        if any(module.split(".")[0] == "/click" for module in _imports(name))
    }
    assert clicking and all(name.startswith("cli.") for name in clicking)
    knowing = {name for name in MODULES if any(_room(module) == "config" for module in _own(name))}
    assert {_room(name) for name in knowing} <= {"__init__", "cli", "config", "pipelines"}


def test_tensorflow_model_optimization_is_imported_in_one_place() -> None:
    users = {
        name
        for name in MODULES
        if any(module.startswith("/tensorflow_model_opt") for module in _imports(name))
    }
    assert len(users) <= 1


def test_every_package_is_installed() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    listed = set(setup["options"]["packages"].split())
    folders = {path.parent for path in (ROOT / "keras_kd").rglob("__init__.py")}
    found = {
        ".".join(("keras_kd", *folder.relative_to(ROOT / "keras_kd").parts)) for folder in folders
    }
    assert listed == found | {"keras_kd.cli"}


def test_importing_the_library_and_its_help_leaves_what_is_slow_alone() -> None:
    code = """
import sys, keras_kd
from click.testing import CliRunner
from keras_kd.cli.main import kerakd
assert "distill" in CliRunner().invoke(kerakd, ["--help"]).output
print({"keras", "tensorflow", "numpy", "pandas", "rich", "PIL"} & set(sys.modules))
"""
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set()"


def test_trying_a_tflite_file_does_not_wait_for_tensorflow() -> None:
    code = """
import sys, keras_kd.runtimes.litert, keras_kd.evaluation._single_image
print({"keras", "tensorflow"} & set(sys.modules))
"""
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set()"


@pytest.mark.parametrize("name", sorted(MODULES))
def test_processes_are_started_without_the_working_folders_modules(name: str) -> None:
    for node in _nodes(name):
        first = ast.unparse(node.elts[0]) if isinstance(node, ast.List) and node.elts else ""
        assert first != "sys.executable" or ast.unparse(node.elts[1]) == "'-P'", node.lineno


def test_names_are_the_fields_words() -> None:
    """No riddles: what is a student `told`, a `lesson`, a `Feed`?"""
    riddles = {"told", "tells", "seen", "wanted", "lesson", "feed"}
    named = {name: name.rpartition(".")[2] for name in MODULES}
    for module in MODULES:
        for node in _nodes(module):
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                named[f"{module}.{node.name}"] = node.name
    words = {where: set(re.findall("[A-Z]?[a-z]+", name)) for where, name in named.items()}
    assert not {
        where for where, found in words.items() if riddles & {word.lower() for word in found}
    }


def _lines_of_code(name: str) -> int:
    """The lines of a module besides its docstrings."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docstrings = [
        node.body[0]
        for node in _nodes(name)
        if isinstance(node, documented) and ast.get_docstring(node)
    ]
    return len(MODULES[name].read_text("utf-8").splitlines()) - sum(
        docstring.end_lineno - docstring.lineno + 1 for docstring in docstrings
    )


def test_no_module_imports_pytorch() -> None:
    """Beside TensorFlow it can end the process: `.pth` files are written by one of its own."""
    foreign = re.compile(r"/(torch|torchvision|timm|triton)\b")
    assert not {name for name in MODULES if any(map(foreign.match, _imports(name)))}


def test_messages_quote_no_number_of_the_operating_systems() -> None:
    """Without `plain_reason` the user of an unreadable file reads "[Errno 13]"."""
    catching = re.compile(r"\b(OSError|Exception|BAD_ARCHIVE|_DAMAGES?)\b")
    # What NumPy's parser or a user's code raises is shown as it is.
    of_code = {"_common.arrays", "models.trusted_modules", "models.sources"}
    shown = set()
    for name in MODULES:
        for node in _nodes(name):
            if isinstance(node, ast.ExceptHandler) and catching.search(ast.unparse(node.type)):
                formatted = (
                    part for part in ast.walk(node) if isinstance(part, ast.FormattedValue)
                )
                if any(ast.unparse(part.value) == node.name for part in formatted):
                    shown.add(name)
    assert shown == of_code


def test_no_module_is_long() -> None:
    """Each is one thing: 350 lines besides docstrings at most."""
    assert not {name for name in MODULES if _lines_of_code(name) > 350}


def test_keras_internals_stand_in_three_modules():
    """What Keras may change without a word: see models/surgery/keras_internals.py."""
    inside = re.compile(
        r"keras\.src\b(?!\.layers\.)"
        r"|_(flatten_layers|keras_history|(in|out)bound_nodes|nodes_by_depth)\b"
    )
    # _keras_classes tells Keras' own classes from others, _keras_2 names modules of Keras 2.
    allowed = {"models.surgery.keras_internals", "models._keras_classes", "models._keras_2"}
    found = {name for name, path in MODULES.items() if inside.search(path.read_text("utf-8"))}
    assert found == allowed


def test_other_private_names_of_libraries_stand_in_one_module_each():
    """The tests of these modules run them for real, and fail when a release changes the name."""
    places = {
        r"\bstudy\._storage\b": {"pipelines.sweep"},  # Optuna's heartbeat before its own thread's
        r"\b_reloaded_obj\b": {"runtimes.saved_model"},  # a SavedModel's signatures in Keras
        r"\b_get_ops_details\b": {"runtimes.kernels"},  # LiteRT's operators in an interpreter
        r"\b_get_variable_index\b": {"training.layer_rates"},  # a variable's place in an optimizer
    }
    for name, expected in places.items():
        found = {
            module for module, path in MODULES.items() if re.search(name, path.read_text("utf-8"))
        }
        assert found == expected, name
