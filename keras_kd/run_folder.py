"""The folder of a run and the cache: who may work there, and what made it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock
import platformdirs

from keras_kd import config as configuration
from keras_kd import hardware
from keras_kd.config import Config
from keras_kd.errors import ConfigError, KerasKDError, OutputError
from keras_kd.files import write_text
from keras_kd.progress import Terminal

STATE = ".state"
LOCK = ".lock"


def cache_folder() -> Path:
    """Where teachers and soft labels are kept: $KERAKD_CACHE, or the user's cache folder."""
    return Path(os.environ.get("KERAKD_CACHE") or platformdirs.user_cache_dir("kerakd"))


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide a run's numbers, and the commit where this is a checkout."""
    packages = ("keras-kd", "keras", "tensorflow", "numpy", "ai-edge-litert")
    found = {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in packages}
    return found | _commit()


def _commit() -> dict[str, str]:
    root = Path(__file__).parents[1]
    if not (root / ".git").exists() or shutil.which("git") is None:
        return {}
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    described = subprocess.run(command, capture_output=True, text=True)
    return {"commit": described.stdout.strip()} if described.returncode == 0 else {}


@contextmanager
def held(out: Path, config: Config, resume: bool) -> Iterator[None]:
    """Hold a run's folder: new or empty, or of the same options when resumed; its state goes when the run is done."""
    record = out / "config.toml"
    used = out.exists() and (not out.is_dir() or any(path.name != LOCK for path in out.iterdir()))
    if used and not resume:
        raise OutputError(
            f"{out} is already in use: choose another --out, or add --resume to go on with the run there."
        )
    if resume and not record.exists():
        raise OutputError(f"There is no run to resume in {out}: leave out --resume, or check --out.")
    if resume and Config(**configuration.load(record)).effective() != config:
        raise ConfigError(
            f"The options differ from those of the run in {out} ({record}): resume it with the same ones."
        )
    if (out / "metrics.json").exists():
        raise OutputError(f"The run in {out} is complete: see {out / 'README.md'}.")
    existed = out.exists()
    with locked(out):
        if not resume:
            write_text(record, configuration.dump(config, {**versions(), "hardware": hardware.describe()}))
        try:
            yield
        except KerasKDError:
            # Nothing to resume yet: leave nothing behind that would stand in the way of the next try.
            if not resume and not (out / STATE).exists():
                record.unlink()
            raise
        finally:
            if (out / "metrics.json").exists():
                shutil.rmtree(out / STATE, ignore_errors=True)
            (out / LOCK).unlink(missing_ok=True)
            if not existed and not any(out.iterdir()):
                out.rmdir()


@contextmanager
def locked(folder: Path, waiting: Terminal | None = None) -> Iterator[None]:
    """Let one process at a time work in `folder`; the lock ends with the process, however that ends.

    Args:
        waiting: where to say that another process is at work, before waiting for it; None to refuse instead.

    Raises:
        OutputError: the folder can't be made, or another process is at work there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"Can't make the folder {folder}: {error.strerror}.") from error
    lock = filelock.FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        if waiting is None:
            raise OutputError(f"Another run is at work in {folder}: wait for it, or choose another folder.") from error
        waiting.say(f"Waiting for another process at work in {folder}")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
