"""Packages that an import is not to find."""

import importlib
import sys

import pytest

from keras_kd._common.imports import hidden


def test_a_hidden_package_is_missing_within_the_block_alone(monkeypatch):
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with pytest.raises(ValueError, match="within"), hidden("colorsys"):
        with pytest.raises(ImportError):
            importlib.import_module("colorsys")
        raise ValueError("within")
    assert importlib.import_module("colorsys").rgb_to_hsv(1, 1, 1) == (0, 0, 1)


def test_a_package_that_was_imported_before_stays():
    with hidden("json"):
        assert importlib.import_module("json").loads("[1]") == [1]
    assert "json" in sys.modules
