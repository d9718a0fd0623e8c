"""Modules that other packages add, found by their entry points."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from keras_kd._common import modules
from keras_kd.exporters import formats

GROUP = "keras_kd.test_modules"


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The groups whose entry points were read from disk."""
    groups: list[str] = []

    def counted(group: str) -> object:
        groups.append(group)
        return entry_points(group=group)

    monkeypatch.setattr(modules, "entry_points", counted)
    modules._points.cache_clear()
    yield groups
    modules._points.cache_clear()


def test_entry_points_are_read_once(readings: list[str]) -> None:
    names = modules.module_names(formats, GROUP)
    assert "int8" in names
    for name in names:
        assert modules.module(formats, name, GROUP).__name__.endswith(name)
    assert list(modules.summaries(formats, GROUP)) == names
    assert readings == [GROUP]


def test_a_package_is_found_as_soon_as_it_is_installed_and_no_longer(
    readings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by `%pip install` in a notebook."""
    monkeypatch.syspath_prepend(tmp_path)
    assert "added" not in modules.module_names(formats, GROUP)
    metadata = tmp_path / "added-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: added\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(f"[{GROUP}]\nadded = colorsys\n")
    assert "added" in modules.module_names(formats, GROUP)
    assert modules.module(formats, "added", GROUP).rgb_to_hsv(1, 1, 1) == (0, 0, 1)
    shutil.rmtree(metadata)
    assert "added" not in modules.module_names(formats, GROUP)
