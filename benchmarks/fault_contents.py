"""What a command leaves in its folder: whole or damaged, equal to another run's or not."""

from __future__ import annotations

import hashlib
import io
import json
import re
import sqlite3
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from PIL import Image

# Clocks and what holds them, and the number of a trial, which is tried anew under another one.
VOLATILE_KEYS = {"seconds", "train_seconds", "number"}
VOLATILE_FILES = {"README.md", "sweep.db", "bench.csv", "bench.png"}


def content(folder: Path) -> dict[str, str]:
    """A digest of every file below a folder, of what doesn't hang on clocks."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {
        str(path.relative_to(folder)): hashlib.sha256(essence(path)).hexdigest()[:16]
        for path in paths
    }


def essence(path: Path) -> bytes:
    """What two equal runs have in common of a file."""
    if path.name in VOLATILE_FILES:
        return b""
    if path.suffix == ".keras":
        return weights(path)
    if path.suffix == ".json":
        return json.dumps(without_clocks(json.loads(path.read_text()))).encode()
    if path.suffix == ".toml":
        return re.sub(rb'"commit" = ".*"\n', b"", path.read_bytes())
    if path.suffix == ".csv":
        rows = pd.read_csv(path, dtype=str).drop(columns=list(VOLATILE_KEYS), errors="ignore")
        return rows.sort_values(list(rows)).to_csv(index=False).encode()
    return path.read_bytes()


def weights(path: Path) -> bytes:
    """The configuration and all weights of a `.keras` file, whose archive holds dates."""
    with (
        zipfile.ZipFile(path) as archive,
        h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file,
    ):
        arrays: list[bytes] = []
        file.visititems(
            lambda name, item: (
                arrays.append(item[()].tobytes()) if isinstance(item, h5py.Dataset) else None
            )
        )
        # What Keras numbers shared objects by are addresses in memory.
        config = re.sub(rb'"shared_object_id": \d+', b"", archive.read("config.json"))
        return config + b"".join(arrays)


def without_clocks(value: object) -> object:
    if not isinstance(value, dict):
        return value
    return {key: without_clocks(part) for key, part in value.items() if key not in VOLATILE_KEYS}


def damaged(folder: Path) -> list[str]:
    """Files under their final names that are not whole; SQLite's journal is what makes its database
    whole again.
    """
    paths = [
        path
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".") and "-partial-" not in str(path)
    ]
    paths = [path for path in paths if path.suffix != ".db-journal"]
    return [f"{path.relative_to(folder)}: {fault}" for path in paths if (fault := fault_of(path))]


def fault_of(path: Path) -> str | None:
    """Why a file is not whole; None if it is."""
    try:
        WHOLE.get(path.suffix, Path.read_bytes)(path)
    except Exception as error:
        # Each reader raises what it likes; whatever it is, the file can't be read.
        return f"{type(error).__name__}: {error}"
    return None


def read_archive(path: Path) -> None:
    """Read every array of an .npz file."""
    with np.load(path) as stored:
        for name in stored.files:
            stored[name]


def read_database(path: Path) -> None:
    """Have SQLite check a database, which first undoes what a killed process left unfinished."""
    with sqlite3.connect(path) as database:
        (found,) = database.execute("pragma integrity_check").fetchone()
    if found != "ok":
        raise ValueError(found)


def read_text_to_its_end(path: Path) -> None:
    """Make sure that a text file ends with a line's end."""
    if path.name != "film.csv" and not path.read_text().endswith("\n"):
        raise ValueError("cut short")


WHOLE: dict[str, Callable[[Path], object]] = {
    ".json": lambda path: json.loads(path.read_text()),
    ".toml": lambda path: tomllib.loads(path.read_text()),
    ".npz": read_archive,
    ".npy": lambda path: np.load(path),
    ".keras": weights,
    ".png": lambda path: Image.open(path).load(),
    ".db": read_database,
    ".csv": read_text_to_its_end,
    ".txt": read_text_to_its_end,
    ".md": read_text_to_its_end,
}


def half_written(folder: Path) -> list[Path]:
    """What a killed process was writing: files that have not got their final names."""
    hidden = [path for path in folder.rglob(".*") if path.name != ".lock"]
    return [path for path in hidden if path.is_file() or "-partial-" in path.name]


def differences(folder: Path, unbroken: dict[str, str]) -> list[str]:
    """Files that are not those of an unbroken run, as `content` gives them."""
    found = content(folder)
    names = sorted(found.keys() | unbroken.keys())
    return [name for name in names if found.get(name) != unbroken.get(name)]
