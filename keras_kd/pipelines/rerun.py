"""Repetition of a finished run from its folder, and a comparison of the results."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from keras_kd import config as configuration
from keras_kd._common import hardware, run_files
from keras_kd._common.progress import Terminal
from keras_kd._common.text import command_line
from keras_kd.errors import DataError
from keras_kd.pipelines import distill, run_folder
from keras_kd.reports import run_records

SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "ece", "nll")


def rerun(folder: str | Path, out: str | Path, terminal: Terminal | None = None) -> dict[str, Any]:
    """Repeat a finished run with its own options, and compare the results.

    A teacher that is in the cache is not trained again. Equal weights can be expected on the same
    machine with the same versions and one thread; several threads add numbers in changing order.
    The new run is not logged to where the finished one was.

    Args:
        folder: folder of the finished run.
        out: folder for the new run, new or empty.
        terminal: where the user sees progress; None for nowhere.

    Returns:
        `equal`: whether data, teacher and weights are the same. `differences`: by name [then, now]
            for every version, fingerprint and test score that differs.

    Raises:
        KerasKDError: as `distill`; or `folder` holds no finished run.
    """
    if not (Path(folder) / run_files.METRICS).is_file():
        raise DataError(
            f"{folder} holds no finished run ({run_files.METRICS}): give the folder of one."
        )
    before = run_records.read(Path(folder))
    config = configuration.merged(Path(folder) / run_files.OPTIONS, {})
    if config.log:
        # The folder may be anyone's: it can't have this machine write and connect elsewhere.
        (terminal or Terminal(quiet=True)).say(f"This run is not logged to {config.log}.")
        config = dataclasses.replace(config, log=None)
    metrics = distill.distill(
        config, out, terminal, command=command_line(["kerakd", "rerun", folder])
    )
    then = _facts(before.config.get("made_with", {}), before.metrics)
    now = _facts({**run_folder.versions(), "hardware": hardware.describe()}, metrics)
    differences = {
        name: [then.get(name), now.get(name)]
        for name in then | now
        if then.get(name) != now.get(name)
    }
    equal = before.metrics.get("fingerprints") == metrics["fingerprints"]
    return {"equal": equal, "differences": differences}


def _facts(made_with: dict[str, str], metrics: dict[str, Any]) -> dict[str, Any]:
    prints = {
        f"fingerprint of the {name}": value
        for name, value in metrics.get("fingerprints", {}).items()
    }
    parts = {
        "test": metrics["test"],
        **{name: part["test"] for name, part in (metrics.get("exported") or {}).items()},
    }
    scores = {
        f"{part} {name}": values[name]
        for part, values in parts.items()
        for name in SCORES
        if name in values
    }
    of_values = {
        f"{part} {name} CCC": value["ccc"]
        for part, values in parts.items()
        for name, value in values.get("values", {}).items()
    }
    return made_with | prints | scores | of_values
