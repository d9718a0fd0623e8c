"""The folder of a run and the cache: locks, and records of what a run was made with."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import platform
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from keras_kd import config as configuration
from keras_kd._common import hardware, run_files, trust
from keras_kd._common.checked_files import read_json, read_text
from keras_kd._common.files import LOCK, half_written, locked, write_text
from keras_kd._common.text import command_line
from keras_kd.errors import ConfigError, KerasKDError, OutputError
from keras_kd.models import sources
from keras_kd.training import state

# What a resumed run may change, after its loss became NaN: a lower rate, any clipping.
STEADYING = ("learning_rate", "clip_norm")
# Where files lie that may be moved, since their content is compared.
_PLACES = ("data", "teacher", "votes", "unlabeled", "soft_labels", "start_from")
_STUDENT = "the option student"  # the fact
# What may be edited in the record of a stopped run; no step depends on the last ones.
_FREE = (*STEADYING, *_PLACES, "formats", "log", "label_workers", "verify_soft_labels")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that affect a run's numbers, and the commit
    of a checkout.
    """
    packages = ("keras-kd", "keras", "tensorflow", "numpy", "ai-edge-litert")
    found = {"python": platform.python_version()} | {
        name: importlib.metadata.version(name) for name in packages
    }
    return found | _commit()


# Once: a checkout may be changed while a run goes on with the modules that it has imported.
@functools.cache
def _commit() -> dict[str, str]:
    root = Path(__file__).parents[2]
    if not (root / ".git").exists() or shutil.which("git") is None:
        return {}
    command = [
        "git",
        "-C",
        str(root),
        "describe",
        "--always",
        "--dirty",
        "--abbrev=12",
        # No tag: the commit itself.
        "--exclude=*",
    ]
    described = subprocess.run(command, capture_output=True, text=True)
    return {"commit": described.stdout.strip()} if described.returncode == 0 else {}


@contextmanager
def held(out: Path, options: Mapping[str, Any], resume: bool) -> Iterator[None]:
    """Lock a run's folder, which is new or empty, or has the same options if resumed; the training
    state is removed when the run is done.

    Args:
        out: the run's folder.
        options: all options of the run.
        resume: whether the run is resumed.

    Yields:
        Nothing.

    Raises:
        ConfigError: the folder holds another run.
        OutputError: another process works there, or it can't be written.
    """
    record = out / run_files.OPTIONS
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is already in use, by a file: choose another --out.")
    if resume and not record.exists():
        raise OutputError(
            f"There is no run to resume in {out}: leave out --resume, or check --out."
        )
    with locked(out):
        _refuse_used(out, record, options, resume)
        if not resume or _steadied(out, options):
            write_text(
                record, configuration.dump(options, {**versions(), "hardware": hardware.describe()})
            )
        try:
            yield
        except KerasKDError:
            # Nothing to resume yet: leave nothing behind that would stand in the way of the next
            # try.
            if not resume and not any((out / run_files.STATE).rglob("*.npz")):
                shutil.rmtree(out / run_files.STATE, ignore_errors=True)
                record.unlink()
            raise
        finally:
            if (out / run_files.METRICS).exists():
                shutil.rmtree(out / run_files.STATE, ignore_errors=True)


def require_beginning(
    out: Path, facts: Mapping[str, str], options: Mapping[str, Any] = MappingProxyType({})
) -> None:
    """Record what a run begins with; once its training has taken a step, check that it is
    unchanged.

    Args:
        out: the run's folder.
        facts: fingerprints by name, e.g. of the data and the soft labels; what may follow from
            another stands behind it.
        options: all options of the run, whose record somebody may have edited meanwhile; those that
            another version did not note are not compared.

    Raises:
        ConfigError: something differs from the run's beginning, or another version noted less. The
            message names the first.
    """
    note = out / run_files.STATE / run_files.BEGINNING
    of_options = _facts_of_options(options)
    # What was noted before any step was taken binds none.
    if note.exists() and state.has_steps(note.parent):
        before = _noted(out, run_files.BEGINNING, str, facts)
        if student := before.get(_STUDENT):
            before[_STUDENT] = _fact_of_option("student", json.loads(student))
        require_unchanged("run", out, before, {**of_options, **facts})
    else:
        write_text(note, json.dumps({**of_options, **facts}) + "\n")


def _facts_of_options(options: Mapping[str, Any]) -> dict[str, str]:
    """The options of a run that a resumed one must have, as facts; 1 and 1.0 are the same."""
    return {
        f"the option {name}": _fact_of_option(name, value)
        for name, value in options.items()
        if name not in _FREE
    }


def _fact_of_option(name: str, value: Any) -> str:
    # A file and code of one's own may be moved: `student_facts` compares what they hold.
    if name == "student" and _is_place(value):
        return json.dumps("a file")
    return json.dumps(float(value) if type(value) is int else value)


def _is_place(student: Any) -> bool:
    is_text = isinstance(student, str)
    return is_text and (sources.is_file(student) or trust.code(student) is not None)


def require_unchanged(
    what: str, folder: Path, before: Mapping[str, str], facts: Mapping[str, str], why: str = ""
) -> None:
    """Check that what a run or a sweep is made with is what it began with.

    Args:
        what: "run" or "sweep", for the message.
        folder: its folder, for the message.
        before: fingerprints that were noted, by name.
        facts: those of now, by name; one that was not noted is not compared.
        why: what a change spoils, for the message, with a comma before it.

    Raises:
        ConfigError: something differs. The message names the first.
    """
    changed = next((name for name, fact in facts.items() if before.get(name, fact) != fact), None)
    if changed:
        raise ConfigError(
            f"Since the {what} in {folder} began, {changed} changed{why}: give what it began with,"
            f" or start a new {what} with another --out."
        )


def recorded(out: Path) -> dict[str, Any]:
    """Return the options of the run in a folder.

    Args:
        out: the run's folder.

    Returns:
        The options by name; empty if there is no run.
    """
    record = out / run_files.OPTIONS
    return configuration.load(record) if record.exists() else {}


def original(out: Path) -> dict[str, float]:
    """Return the options of STEADYING that a run began with, with which its teacher was trained.

    Args:
        out: the run's folder.

    Returns:
        Values by option name.
    """
    try:
        return _noted(out, run_files.ORIGINAL, float, STEADYING)
    except FileNotFoundError:
        completed = configuration.completed(recorded(out))
        return {name: completed[name] for name in STEADYING}


def _noted(out: Path, name: str, kind: type, keys: Iterable[str]) -> dict[str, Any]:
    """What a run noted in a file of its state: values of one kind, `keys` among them."""
    path = out / run_files.STATE / name
    try:
        noted = read_json(read_text(path), {str: kind})
    except ValueError as error:
        raise ConfigError(
            f"{path} is damaged ({error}): start again with another --out."
        ) from error
    if missing := [key for key in keys if key not in noted]:
        raise ConfigError(
            f"Another version of keras-kd began the run in {out}, and noted nothing of"
            f" {', '.join(missing)}: go on with that version, or start a new run with another"
            " --out."
        )
    return noted


def _steadied(out: Path, options: Mapping[str, Any]) -> bool:
    """Whether a resumed run has other options of STEADYING; what it began with is noted."""
    before = configuration.completed(recorded(out))
    if all(before[name] == options[name] for name in STEADYING):
        return False
    write_text(out / run_files.STATE / run_files.ORIGINAL, json.dumps(original(out)) + "\n")
    return True


def _refuse_used(out: Path, record: Path, options: Mapping[str, Any], resume: bool) -> None:
    # The lock is there already, and a killed process may have left a half-written record.
    ours = {out / LOCK, *half_written(record)}
    if not resume and any(path not in ours for path in out.iterdir()):
        # The whole command, for callers that have no --resume.
        command = command_line(["kerakd", "distill", "--resume", "--out", out])
        go_on = f", or go on with the run there by `{command}`"
        raise OutputError(
            f"{out} is already in use: choose another --out{go_on * record.exists()}."
        )
    if resume:
        _refuse_other(out, record, options)
    if (out / run_files.METRICS).exists():
        shutil.rmtree(
            out / run_files.STATE, ignore_errors=True
        )  # left by a process that was killed as it finished
        raise OutputError(f"The run in {out} is complete: see {out / run_files.CARD}.")


def _refuse_other(out: Path, record: Path, options: Mapping[str, Any]) -> None:
    """Refuse to resume a run with other options than a lower learning rate or other clipping."""
    before = configuration.completed(recorded(out))
    other = [name for name in options if name not in STEADYING and before[name] != options[name]]
    if other or options["learning_rate"] > before["learning_rate"]:
        are_moved = {*other} & {*_PLACES} or ("student" in other and _is_place(options["student"]))
        moved = (
            f" If the same files lie elsewhere now, write their place into {record}."
            if are_moved
            else ""
        )
        raise ConfigError(
            f"The options differ from those of the run in {out} ({record}), in"
            f" {', '.join(other) or 'a higher learning_rate'}: resume it with the same ones; only"
            f" learning_rate may be lower and clip_norm another.{moved}"
        )
