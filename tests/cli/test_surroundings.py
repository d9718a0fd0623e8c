"""Whatever surrounds a command: it works, or says in one sentence what is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

KERAKD = f"{sys.executable} -P -c 'from keras_kd.cli.start import main; main()'"


def _told(line: str, **environment: str) -> tuple[int, str]:
    done = subprocess.run(
        ["bash", "-c", line], env={**os.environ, **environment}, capture_output=True, text=True
    )
    return done.returncode, done.stderr.strip()


def test_a_backend_that_is_not_installed_is_named(tmp_path: Path) -> None:
    code, told = _told(f"{KERAKD} evaluate a.keras", KERAS_BACKEND="nonsense")
    assert code == 2 and "\n" not in told
    assert "KERAS_BACKEND is 'nonsense', expected one of tensorflow, jax, torch" in told


@pytest.mark.parametrize("limit", [1_500_000, 2_000_000, 3_000_000])
def test_too_little_room_for_addresses_is_told_at_once(limit: int) -> None:
    code, told = _told(f"ulimit -v {limit}; {KERAKD} evaluate a.keras")
    assert code == 2 and f"`ulimit -v` is {limit:,} kB, and TensorFlow needs" in told


@pytest.mark.parametrize("content", ['{"image_data_format": "channels_first"}', "[1]", None])
def test_the_users_keras_json_is_neither_read_nor_written(
    content: str | None, tmp_path: Path
) -> None:
    home, cache = tmp_path / "home", tmp_path / "cache"
    home.mkdir()
    file = home / ".keras" / "keras.json"
    if content:
        file.parent.mkdir()
        file.write_text(content)
    environment = {"HOME": str(home), "KERAKD_CACHE": str(cache)}
    code, told = _told(f"{KERAKD} evaluate none.keras", **environment)
    assert code == 2 and told.startswith("kerakd: No model at none.keras")
    assert (file.read_text() if file.exists() else None) == content
