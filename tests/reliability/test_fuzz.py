"""Spoilt files are read, or refused in one sentence; `benchmarks/fuzz.py` goes on with it for as
long as one likes.
"""

from __future__ import annotations

import copy
import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd
import pytest
from fuzz import table, ways
from fuzz_edits import spoilt
from fuzz_readers import READERS
from fuzz_worker import judged, removed
from hypothesis import given, settings
from hypothesis import strategies as some

ROOT = Path(__file__).parents[2]
# Those without a converter or an interpreter behind them.
QUICK = [
    name for name, reader in READERS.items() if reader.guided and not name.startswith(".tflite")
]
QUICK += ["images", "recording: csv, session.json"]

short = settings(max_examples=25, derandomize=True, deadline=None, database=None)
VALUES = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=6),
    lambda inner: (
        some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
NUMBERS = some.sampled_from(
    ["0", "1", "7", "-2", "nan", "inf", "1e400", "9" * 5000, " ", "1;2", "train_1.jpg", "=1"]
)
ROWS = some.lists(some.lists(NUMBERS | some.text(max_size=8), max_size=12), max_size=8)


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A folder of a reader's valid files, by its name; written once."""
    folders: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in folders:
            folders[name] = tmp_path_factory.mktemp("valid") / "files"
            folders[name].mkdir()
            READERS[name].write(folders[name])
        return folders[name]

    return folder


def _outcome(name: str, valid: Path, file: Path, content: bytes) -> str:
    """What a reader makes of its files where one of them holds this instead."""
    work = valid.with_name("work")
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(valid, work)
    (work / file.relative_to(valid)).write_bytes(content)
    outcome, detail = judged(READERS[name], work)
    assert outcome != "finding", detail
    return outcome


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.filterwarnings("ignore")
def test_valid_files_are_read_and_spoilt_ones_read_or_refused(
    name: str, valid: Callable[[str], Path]
) -> None:
    folder = valid(name)
    files = sorted(path for path in folder.glob(READERS[name].spoilt) if path.is_file())
    assert _outcome(name, folder, files[0], files[0].read_bytes()) == "read"
    outcomes = []

    @short
    @given(some.randoms(use_true_random=False))
    def check(random: Random) -> None:
        file = random.choice(files)
        outcomes.append(
            _outcome(name, folder, file, spoilt(file.read_bytes(), READERS[name].tokens, random))
        )

    check()
    assert "refused" in outcomes


@pytest.mark.parametrize("name", ["fer2013.csv", "segments, csv", "images", "class folders"])
@pytest.mark.filterwarnings("ignore")
def test_bombs_are_read_or_refused(name: str, valid: Callable[[str], Path]) -> None:
    folder = valid(name)
    work = folder.with_name("bombs")
    for seed, bomb in enumerate(READERS[name].bombs * 3):
        shutil.copytree(folder, work)
        bomb(work, Random(seed))
        outcome, detail = judged(READERS[name], work)
        # Python's own way of removing folders ends at a thousand levels.
        removed(work)
        assert outcome != "finding", detail


def _places(document: Any) -> Iterator[tuple[Any, ...]]:
    """The way to every part of a JSON document, itself first."""
    yield ()
    parts = (
        document.items()
        if isinstance(document, dict)
        else enumerate(document)
        if isinstance(document, list)
        else ()
    )
    for key, part in parts:
        yield from ((key, *way) for way in _places(part))


def _replaced(document: Any, way: tuple[Any, ...], value: Any) -> Any:
    if not way:
        return value
    changed = copy.deepcopy(document)
    part = changed
    for key in way[:-1]:
        part = part[key]
    part[way[-1]] = value
    return changed


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("soft labels: store.json, logits.npy", "store.json"),
        ("run folder: metrics.json, config.toml", "metrics.json"),
        ("footprint.json", "footprint.json"),
        ("recording: csv, session.json", "p1/session.json"),
    ],
)
def test_json_with_another_part_is_read_or_refused(
    name: str, file: str, valid: Callable[[str], Path]
) -> None:
    folder = valid(name)
    document = json.loads((folder / file).read_text())

    @settings(short, max_examples=60)
    @given(some.sampled_from(list(_places(document))), VALUES)
    def check(way: tuple[Any, ...], value: Any) -> None:
        changed = json.dumps(_replaced(document, way, value)).encode()
        _outcome(name, folder, folder / file, changed)

    check()


@pytest.mark.parametrize(
    "name",
    [
        "fer2013.csv",
        "FER+ votes, csv",
        "AffectNet csv",
        "segments, csv",
        "recording: csv, session.json",
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_csv_of_the_right_columns_and_any_cells_is_read_or_refused(
    name: str, valid: Callable[[str], Path]
) -> None:
    folder = valid(name)
    (file,) = [path for path in folder.glob(READERS[name].spoilt) if path.suffix == ".csv"]
    header = file.read_text().splitlines()[0].split(",")

    @short
    @given(ROWS)
    def check(rows: list[list[str]]) -> None:
        made = folder.with_name("made.csv")
        with made.open("w", newline="", encoding="utf-8", errors="replace") as stream:
            csv.writer(stream).writerows([header, *rows])
        _outcome(name, folder, file, made.read_bytes())

    check()


@short
@given(
    some.dictionaries(
        some.sampled_from(["epochs", "alpha", "data", "teacher", "views", "recipe"]), VALUES
    )
)
def test_configurations_of_any_values_are_read_or_refused(values: dict[str, Any]) -> None:
    from keras_kd import config
    from keras_kd.errors import ConfigError

    try:
        assert config.Config(**values).effective().epochs
    except ConfigError as error:
        assert str(error).isprintable()


def test_the_documents_say_what_the_whole_run_counted() -> None:
    counts = pd.read_csv(ROOT / "docs" / "results" / "fuzz" / "counts.csv")
    assert table(counts) in (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    assert set(counts["reader"]) == set(READERS) and not counts["findings"].any()


@pytest.mark.slow
def test_every_reader_stands_for_longer(tmp_path: Path) -> None:
    """As `python benchmarks/fuzz.py --cases 200`."""
    command = [
        sys.executable,
        "benchmarks/fuzz.py",
        "--cases",
        "200",
        "--out",
        tmp_path,
        "--findings",
        tmp_path / "kept",
    ]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr[-2000:]
    assert all(f"| {name} |" in made.stdout for name, reader in READERS.items() if ways(reader))
