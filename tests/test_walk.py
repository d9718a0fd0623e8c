"""How far an option and a data set travel: what docs/architecture.md promises, counted."""

import ast
import io
from pathlib import Path

import pytest
import small_shards
from PIL import Image

from keras_kd import datasets
from keras_kd._common import csv_files
from keras_kd._common.progress import Terminal
from keras_kd.config import Config
from keras_kd.datasets import decoding, inspection, splits
from keras_kd.datasets.readers import _fer2013_csv, _parquet_files, _shard_index, _survey
from keras_kd.pipelines import plan
from keras_kd.pipelines.conversion import loaded
from keras_kd.pipelines.data_loading import load_data
from keras_kd.pipelines.export_settings import ExportSettings

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "keras_kd"


def test_few_modules_lie_at_the_top() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 10


def test_few_modules_know_config() -> None:
    paths = [path for folder in (PACKAGE, ROOT / "cli") for path in folder.rglob("*.py")]
    knowing = [path for path in paths if "Config" in _names(path)]
    assert len([path for path in knowing if path.parent.name != "config"]) <= 5


def test_distill_is_read_in_under_sixty_lines() -> None:
    tree = ast.parse((PACKAGE / "pipelines" / "distill.py").read_text())
    (function,) = [node for node in tree.body if getattr(node, "name", "") == "distill"]
    assert function.end_lineno - function.lineno + 1 < 60


# What the temperature passes from its option to its loss, and what else of these rooms names it.
WAY = (
    *("config/_config.py", "training/settings.py", "training/job.py"),
    *("distiller/__init__.py", "distiller/_heads.py", "losses/soft/kl.py"),
)
CHECKED_STORED_SHOWN = {f"distiller/_{name}.py" for name in ("settings", "saving", "student_model")}


def _names(path: Path) -> set[str]:
    """The names of a module's arguments, settings, attributes, variables and imports."""
    nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    kinds = {ast.arg: "arg", ast.keyword: "arg", ast.Attribute: "attr", ast.Name: "id"}
    kinds[ast.alias] = "name"
    return {getattr(node, kinds[type(node)]) for node in nodes if type(node) in kinds}


def test_the_temperature_passes_five_files_on_its_way_to_the_loss() -> None:
    rooms = ("config", "pipelines", "training", "distiller")
    paths = [path for room in rooms for path in (PACKAGE / room).rglob("*.py")]
    # The temperature of a calibrated export is another one.
    paths = [path for path in paths if path.name not in ("export.py", "export_settings.py")]
    naming = {
        path.relative_to(PACKAGE).as_posix()
        for path in [*paths, PACKAGE / "losses" / "soft" / "kl.py"]
        if "temperature" in _names(path)
    }
    assert naming - CHECKED_STORED_SHOWN == set(WAY) and len(WAY) - 1 <= 5


def test_a_run_looks_the_data_sets_form_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up = []
    find = datasets.find
    monkeypatch.setattr(datasets, "find", lambda path: looked_up.append(path) or find(path))
    load_data(plan.resolve(Config(image_size=8)).data, Terminal(quiet=True))
    assert len(looked_up) == 1


def _write_class_folders(folder: Path) -> None:
    for number in range(20):
        file = folder / ["cat", "dog"][number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), number).save(file)


def test_an_export_looks_the_data_sets_form_and_notes_up_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each split, and the card's lines on the data, looked them up again."""
    looked_up, find, noted, surveyed = [], datasets.find, [], _survey.passed_over
    monkeypatch.setattr(datasets, "find", lambda path: looked_up.append(path) or find(path))
    monkeypatch.setattr(_survey, "passed_over", lambda *of: noted.append(of) or surveyed(*of))
    _write_class_folders(tmp_path / "pets")
    settings = ExportSettings(data=str(tmp_path / "pets"))
    for split in datasets.SPLITS:
        assert len(loaded(settings, split, 8, Terminal(quiet=True))) in (16, 2)
    assert settings.data_set.called == "pets" and len(looked_up) == len(noted) == 1


def _fer2013(folder: Path) -> Path:
    usages = [usage for usage in _fer2013_csv.USAGES for _ in range(14)]
    pixels = " ".join(["7"] * 48 * 48)
    rows = [f"{number % 7},{pixels},{usage}" for number, usage in enumerate(usages)]
    (folder / "fer2013.csv").write_text("\n".join(["emotion,pixels,Usage", *rows]) + "\n")
    return folder / "fer2013.csv"


def test_a_run_reads_a_csv_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path, read = _fer2013(tmp_path), []
    rows = csv_files.rows
    monkeypatch.setattr(
        csv_files, "rows", lambda file, names: read.append(file) or rows(file, names)
    )
    config = Config(data=str(path), image_size=8)
    data = load_data(plan.resolve(config).data, Terminal(quiet=True))
    assert read == [path] and [len(data.train), len(data.validation), len(data.test)] == [14] * 3
    # A teacher of another size sees the same file; one that changed is another.
    assert splits.load(str(path), size=16).image_shape == (16, 16, 1) and read == [path]
    path.write_text(path.read_text().replace("\n0,7", "\n1,7", 1))
    assert splits.load(str(path), size=8).train.labels[0] == 1 and read == [path] * 2


def test_a_run_looks_at_each_image_file_twice(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _write_class_folders(tmp_path)
    asked, read = [], []
    is_gray, image = decoding.is_gray, decoding.read
    monkeypatch.setattr(decoding, "is_gray", lambda file: asked.append(file) or is_gray(file))
    monkeypatch.setattr(decoding, "read", lambda file: read.append(file) or image(file))
    data = splits.load(str(tmp_path), size=8)
    assert sum(map(len, (data.train, data.validation, data.test))) == 20
    # Whether it has colours, for the channels of all, and its pixels.
    assert len(asked) == len(read) == 20


def test_the_notes_on_a_table_read_its_rows_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lines = ["file,label,split,person"]
    for number, split in enumerate(datasets.SPLITS * 4):
        Image.new("L", (8, 8), number).save(tmp_path / f"{number}.png")
        lines.append(f"{number}.png,{'ab'[number % 2]},{split},{number % 4}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    module, read, opened = datasets.find(tmp_path)[0], [], csv_files.opened

    def rows_read(path: Path) -> tuple:
        names, rows = opened(path)
        return names, (read.append(line) or (line, fields) for line, fields in rows)

    monkeypatch.setattr(csv_files, "opened", rows_read)
    assert any("4 of 4 values of person, 0 first" in line for line in module.remarks(tmp_path))
    # The first row is read whenever the columns are asked for.
    assert [read.count(line) for line in range(3, 14)] == [1] * 11


def test_columns_that_may_name_classes_are_looked_at_in_one_reading(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each column that the training table lacks had a reading of its own."""
    for number in range(20):
        Image.new("L", (8, 8), number).save(tmp_path / f"{number}.png")
    lines = [f"{number}.png,{'ab'[number % 2]}" for number in range(20)]
    (tmp_path / "train.csv").write_text("\n".join(["file,label", *lines]))
    columns = [f"feature_{number}" for number in range(50)]
    rows = [",".join(map(str, range(row, row + 50))) for row in range(5)]
    (tmp_path / "test.csv").write_text("\n".join([",".join(columns), *rows]))
    opened, calls = csv_files.opened, []
    monkeypatch.setattr(
        csv_files, "opened", lambda path, **how: calls.append(path) or opened(path, **how)
    )
    assert len(datasets.load(tmp_path, "train")) == 16
    assert calls.count(tmp_path / "test.csv") < 20


def test_shards_are_indexed_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Splits, notes and other sizes each listed them and read the index again."""
    path, indexed = str(small_shards.write_splits(tmp_path, ".tar")), []
    entries = _shard_index.entries
    monkeypatch.setattr(_shard_index, "entries", lambda *of: indexed.append(of) or entries(*of))
    assert splits.load(path, size=8).image_shape == (8, 8, 1) and len(indexed) == 1
    assert inspection.inspect(path)["splits"] and len(indexed) == 2
    source = datasets.DataSet(path)
    shapes = [source.load(("test",), size)["test"].images.shape[1:] for size in (None, 8, (8, 4))]
    assert shapes == [(64, 64, 1), (8, 8, 1), (8, 4, 1)] and not source.notes
    assert len(indexed) == 3


def test_a_run_reads_the_images_of_a_parquet_file_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="reads Parquet files")
    parquet_files = pytest.importorskip("pyarrow.parquet")
    png = io.BytesIO()
    Image.new("L", (8, 8), 7).save(png, "PNG")
    labels = pyarrow.array(["cat", "dog"] * 20)
    table = pyarrow.table({"image": [png.getvalue()] * 40, "label": labels})
    parquet_files.write_table(table, tmp_path / "train.parquet")
    decoded, decode = [], decoding.decoded
    monkeypatch.setattr(decoding, "decoded", lambda *of: decoded.append(of) or decode(*of))
    read, contents = [], _parquet_files.contents
    monkeypatch.setattr(
        _parquet_files,
        "contents",
        lambda *of: (read.append(row) or row for row in contents(*of)),
    )
    data = splits.load(str(tmp_path), size=8)
    assert sum(map(len, (data.train, data.validation, data.test))) == 40
    assert len(decoded) == len(read) == 40 and data.image_shape == (8, 8, 1)
