"""Commands that are killed or stopped again and again go on to the same end."""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]


def test_the_documentation_shows_the_committed_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    names = ("faults", "fault_signals", "fault_limits", "fault_power")
    faults, fault_signals, fault_limits, fault_power = map(importlib.import_module, names)
    shown = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    results = ROOT / "docs" / "results" / "faults"
    assert faults.table(results) in shown
    assert fault_signals.table(results / "signals.csv") in shown
    assert fault_limits.table(results / "limits.csv") in shown
    assert fault_power.table(results / "power.csv") in shown


def _killed_lessons(tmp_path: Path, kills: int, only: str) -> pd.DataFrame:
    """The rows of benchmarks/faults.py."""
    command = [
        sys.executable,
        str(ROOT / "benchmarks" / "faults.py"),
        "--kills",
        str(kills),
        "--only",
        only,
    ]
    done = subprocess.run(
        [*command, "--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")]
    )
    assert done.returncode == 0
    tables = [
        pd.read_csv(tmp_path / "out" / f"{name}.csv", keep_default_na=False)
        for name in only.split(",")
    ]
    return pd.concat(tables, ignore_index=True)


def _assert_nothing_is_lost(rows: pd.DataFrame, kills: int) -> None:
    killed, finished = (rows[rows["ending"] == ending] for ending in ("killed", "finished"))
    assert len(killed) == kills and len(finished) >= 1
    assert (killed["damaged"] == "").all() and (killed["lost"].astype(float) == 0).all()
    assert (finished["different"] == "").all()


def test_killed_commands_go_on_to_the_same_end(film: Path, tmp_path: Path) -> None:
    place = tmp_path / "work" / "given"
    place.mkdir(parents=True)
    shutil.copy(film, place)
    _assert_nothing_is_lost(_killed_lessons(tmp_path, 2, "analyze"), 2)


@pytest.mark.slow
def test_each_long_command_is_killed_50_times(tmp_path: Path) -> None:
    """Takes hours on two busy cores."""
    commands = (
        "analyze,teach,soft labels,export,sweep,distil,import,web,predict,report,compare,guide,init"
        ",rerun,bench"
    )
    kills = 50 * len(commands.split(","))
    _assert_nothing_is_lost(_killed_lessons(tmp_path, 50, commands), kills)


@pytest.mark.slow
def test_stopped_and_doubled_commands_say_so_and_go_on(tmp_path: Path) -> None:
    """Ctrl-C once and twice, SIGTERM, and two in one folder; an hour on two busy cores."""
    command = [sys.executable, str(ROOT / "benchmarks" / "fault_signals.py")]
    done = subprocess.run(
        [*command, "--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")]
    )
    assert done.returncode == 0
