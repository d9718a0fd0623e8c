"""How far an option and a data set travel: what docs/architecture.md promises, counted."""

import ast
import re
from pathlib import Path

import pytest

from keras_kd import datasets
from keras_kd._common.progress import Terminal
from keras_kd.config import Config
from keras_kd.pipelines import plan
from keras_kd.pipelines.distill import load_data

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "keras_kd"


def test_few_modules_lie_at_the_top() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 10


def test_few_modules_know_config() -> None:
    knowing = {
        path.relative_to(PACKAGE)
        for path in PACKAGE.rglob("*.py")
        if re.search(r"\bConfig\b", path.read_text())
    }
    assert len([path for path in knowing if path.parts[0] != "config"]) <= 5


def test_distill_is_read_in_under_sixty_lines() -> None:
    tree = ast.parse((PACKAGE / "pipelines" / "distill.py").read_text())
    (function,) = [node for node in tree.body if getattr(node, "name", "") == "distill"]
    assert function.end_lineno - function.lineno + 1 < 60


def test_the_temperature_passes_five_files_on_its_way_to_the_loss() -> None:
    naming = {
        str(path.relative_to(PACKAGE))
        for room in ("config", "pipelines", "training", "distiller", "losses/soft/kl.py")
        for path in ([PACKAGE / room] if room.endswith(".py") else (PACKAGE / room).rglob("*.py"))
        if re.search(r"\btemperature\b", path.read_text())
    }
    way = {"config/_config.py", "training/settings.py", "training/job.py", "losses/soft/kl.py"}
    assert way <= naming


def test_a_run_looks_the_data_sets_form_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up = []
    find = datasets.find
    monkeypatch.setattr(datasets, "find", lambda path: looked_up.append(path) or find(path))
    load_data(plan.resolve(Config(image_size=8)).data, Terminal(quiet=True))
    assert len(looked_up) == 1
