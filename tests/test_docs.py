"""The documents say what the program does."""

import itertools
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("path", "text"), runpy.run_path(str(ROOT / "docs" / "reference.py"))["pages"]().items()
)
def test_the_command_reference_is_what_help_says(path: Path, text: str) -> None:
    assert path.read_text(encoding="utf-8") == text, "run `make docs`"


def test_every_file_that_the_architecture_names_is_there() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:\w+/)*\w+\.(?:py|toml))`", page))
    rooms = (ROOT / "keras_kd", ROOT / "cli", ROOT / "tests")
    there = [path.as_posix() for room in rooms for path in room.rglob("*.*")]
    for name in named:
        assert "NAME" in name or any(path.endswith(f"/{name}") for path in there), name
    assert len(named) > 60


def test_each_row_of_a_table_has_the_cells_of_its_head() -> None:
    """A `|` in a cell, as of a command, ends it unless it is escaped."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    assert len(pages) > 20
    for page in pages:
        lines = page.read_text(encoding="utf-8").splitlines()
        for is_table, rows in itertools.groupby(lines, lambda line: line.startswith("|")):
            cells = [len(re.findall(r"(?<!\\)\|", row)) for row in rows]
            assert not is_table or len(set(cells)) == 1, (page, cells)


def test_every_shipped_configuration_loads() -> None:
    from keras_kd import config

    files = sorted((ROOT / "configs").rglob("*.toml"))
    assert files
    for file in files:
        config.merged(file, {}).effective()
