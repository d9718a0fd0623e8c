"""The versions of other people's libraries that the guide and `examples/` name."""

from __future__ import annotations

import datetime
import functools
import tomllib
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_suffix(".toml")


@functools.cache
def _table() -> dict[str, Any]:
    return tomllib.loads(TABLE.read_text("utf-8"))


def versions() -> dict[str, str]:
    """Return the version of each library by its name."""
    return _table()["versions"]


def checked() -> datetime.date:
    """Return the day on which the versions were looked up."""
    return _table()["checked"]
