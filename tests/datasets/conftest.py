"""A cache of its own for each test of this folder."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    # Not in the test's own folder, which may be its data.
    monkeypatch.setenv("KERAKD_CACHE", str(tmp_path_factory.mktemp("cache")))
