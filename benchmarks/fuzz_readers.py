"""Every reader of files that keras_kd has, each with a small valid input: what fuzz.py and the
tests spoil.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import fuzz_bombs as bombs
import fuzz_bombs_of_graphs as bombs_of_graphs
import fuzz_data_sets as data_sets
import fuzz_model_files as model_files
import numpy as np
from fuzz_tokens import CSV, JSON, KERAS, NPY, PICKLE, TOML


@dataclass(frozen=True)
class Reader:
    """One way into the library.

    Attributes:
        write: writes valid input into an empty folder.
        read: reads what lies there, as users' calls do.
        spoilt: which of the files are spoilt, as a glob.
        tokens: words of the format, for edits that random bytes would hardly find.
        guided: whether it is Python all through, so that its coverage can guide the search.
        needs: a package of an extra, without which the reader is left out.
        bombs: what puts a small file there that declares or computes far more than it holds.
    """

    write: Callable[[Path], None]
    read: Callable[[Path], object]
    spoilt: str
    tokens: tuple[bytes, ...] = ()
    guided: bool = False
    needs: str = ""
    bombs: tuple[bombs.Bomb, ...] = ()


def _write_store(folder: Path) -> None:
    names = [f"class {number}" for number in range(4)]
    key = {
        "teacher": "0" * 16,
        "images": "1" * 16,
        "views": ["whole", "mirror"],
        "class_names": names,
        "values": [],
    }
    (folder / "store.json").write_text(json.dumps({"key": key, "rounding_error": 0.001}))
    np.save(folder / "logits.npy", np.zeros((data_sets.COUNT, 2, 4), np.float16))


def _read_store(folder: Path) -> object:
    from keras_kd.teachers import soft_labels

    return np.asarray(soft_labels.open_store(folder).logits)


def _write_config(folder: Path) -> None:
    from keras_kd import config

    (folder / "config.toml").write_text(config.dump(config.completed({}), {"keras": "3"}))


def _read_config(folder: Path) -> object:
    from keras_kd import config

    return config.merged(folder / "config.toml", {}).effective()


def _write_run(folder: Path) -> None:
    _write_config(folder)
    counts = [[5, 1], [2, 4]]
    scores = {
        "accuracy": 0.75,
        "n": 12,
        "ece": 0.1,
        "recall": {"a": 0.8, "b": 0.7},
        "confusion": counts,
    }
    metrics = {
        "student": "B",
        "parameters": 1000,
        "test": scores,
        "validation": scores,
        "baseline_test": scores,
        "teacher": {"name": "A"},
        "train_seconds": 60.5,
        "fingerprints": {"data": "00"},
        "exported": {"int8": {"test": scores, "file": "student_int8.tflite", "bytes": 10}},
    }
    (folder / "metrics.json").write_text(json.dumps(metrics))


def _read_run(folder: Path) -> object:
    from keras_kd.reports import run_records

    found = run_records.find([folder])
    return run_records.rows(found), [record.data_set for record in found]


def _write_footprint(folder: Path) -> None:
    from keras_kd.reports import footprint

    one = {
        "model": "B",
        "form": "int8",
        "bytes": 10,
        "peak_memory": None,
        "median_ms": 1.5,
        "p95_ms": 2,
        "hardware": "",
    }
    footprint.save([one], folder)


def _read_footprint(folder: Path) -> object:
    from keras_kd.reports import footprint
    from keras_kd.reproduction import paper

    return paper.table_v(footprint.load(folder))


def _write_segments(folder: Path) -> None:
    (folder / "tasks.csv").write_text("start_s,end_s,task\n0,10.5,rest\n10.5,20,pay & go\n")


def _read_segments(folder: Path) -> object:
    from keras_kd.sessions import _options

    return _options.read_tasks(folder / "tasks.csv")


def _write_recording(folder: Path) -> None:
    from keras_kd.sessions import _recording

    lines = [",".join(_recording.header(("angry", "happy"), ("valence",)))]
    read = "1,10.0 10.0 50.0 50.0,0.9000,0.8000,0.30000,0.70000,0.10000"
    face = f"{read},0.200,0.010,0.020,0.500,0.200,0.010,0.700,,{'40' * 27}"
    for number in range(20):
        none = "," * face.count(",")
        lines.append(f"{number},{number / 10:.4f},{face if number % 5 else none}")
    (folder / "p1.csv").write_text("\r\n".join(lines) + "\r\n")
    options = {"smooth": 0.5, "confidence": 0.5, "baseline": 1.0, "faces": []}
    tasks = [{"start": 0, "end": 1, "name": "rest"}]
    (folder / "p1").mkdir()
    (folder / "p1" / "session.json").write_text(
        json.dumps({"options": {**options, "tasks": tasks}})
    )


def _read_recording(folder: Path) -> object:
    from keras_kd.sessions import _comparison_page, _exports, _page, _timeline, comparison

    compared = comparison.compare(comparison.participants([folder / "p1.csv"]))
    timeline = _timeline.load(folder / "p1.csv", _timeline.Options())
    session = {
        "video": {"name": "p1.mp4"},
        "model": "0",
        "recipe": {"detector": "auto", "side": 1.2, "rate": None},
    }
    return (
        _comparison_page.page(compared),
        _page.page(timeline, "p1", session),
        _exports.records(timeline),
    )


def _read_stopped_recording(folder: Path) -> object:
    from keras_kd.sessions import _recording

    copy = folder / "copy.csv"
    shutil.copyfile(folder / "p1.csv", copy)
    with (folder / "p1.csv").open("rb") as file:
        header = file.readline().decode("utf-8", "replace").strip().split(",")
    return _recording._resumed(copy, header, 6)


def _write_video(folder: Path) -> None:
    from keras_kd.sessions import _video

    frames = (np.roll(np.asarray(data_sets.picture(side=32)), number, 0) for number in range(6))
    _video.write(folder / "film.mp4", frames, 10)


def _read_video(folder: Path) -> object:
    from keras_kd.sessions import _video

    with _video.Video(folder / "film.mp4") as video:
        return sum(1 for _ in video.after())


RECODED = (bombs.recoded,)
READERS = {
    "fer2013.csv": Reader(
        data_sets.write_fer2013,
        data_sets.read_fer2013,
        "fer2013.csv",
        (*CSV, b"Training", b"256"),
        True,
        bombs=RECODED,
    ),
    "FER+ votes, csv": Reader(
        data_sets.write_ferplus,
        data_sets.read_ferplus,
        "fer2013new.csv",
        CSV,
        True,
        bombs=RECODED,
    ),
    "RAF-DB list": Reader(
        data_sets.write_rafdb,
        data_sets.read_rafdb,
        "*.txt",
        (b"../../x.jpg 1", b"/etc/passwd", b"\0", b"8"),
        True,
    ),
    "AffectNet npy": Reader(
        data_sets.write_affectnet, data_sets.read_affectnet, "val_set/annotations/*.npy", NPY, True
    ),
    "AffectNet csv": Reader(
        data_sets.write_affectnet_csv,
        data_sets.read_affectnet,
        "*.csv",
        (*CSV, b"../../x.jpg"),
        True,
        bombs=RECODED,
    ),
    "Parquet": Reader(
        data_sets.write_parquet,
        data_sets.read_parquet,
        "*.parquet",
        (b"PAR1",),
        needs="pyarrow",
        bombs=(bombs.parquet_rows,),
    ),
    "shards: tar": Reader(
        data_sets.write_shards,
        data_sets.read_shards,
        "*.tar",
        (b"ustar", b"../../x.png", b"77777777777", b"L" * 100),
        needs="fsspec",
        bombs=(bombs.tar_members, bombs.tar_headers, bombs.tar_sample),
    ),
    "shards: TFRecord": Reader(
        data_sets.write_tfrecords,
        data_sets.read_shards,
        "*.tfrecord",
        (b"image", b"label"),
        needs="fsspec",
        bombs=(bombs.record_lengths,),
    ),
    "class folders": Reader(
        data_sets.write_class_folders,
        data_sets.read_class_folders,
        "**/*.png",
        bombs=(bombs.deep_folders,),
    ),
    "images": Reader(
        data_sets.write_pictures,
        data_sets.read_pictures,
        "*",
        bombs=(bombs.pages, bombs.png_texts, bombs.large_picture, bombs.scans),
    ),
    "soft labels: store.json, logits.npy": Reader(
        _write_store, _read_store, "*", (*JSON, *NPY), True
    ),
    "config.toml": Reader(_write_config, _read_config, "*", TOML, True),
    "run folder: metrics.json, config.toml": Reader(
        _write_run, _read_run, "*", (*JSON, *TOML), True
    ),
    "footprint.json": Reader(_write_footprint, _read_footprint, "*", JSON, True),
    ".keras": Reader(
        model_files.write_keras,
        lambda folder: model_files.predicted(folder, "model.keras"),
        "*",
        KERAS,
        bombs=(bombs.keras_archive, bombs.keras_weights, bombs.nested_layers),
    ),
    ".h5": Reader(
        model_files.write_h5,
        lambda folder: model_files.predicted(folder, "model.h5"),
        "*",
        KERAS,
        bombs=(bombs.keras_weights,),
    ),
    "arrays to compare with, .npz": Reader(
        model_files.write_arrays,
        model_files.read_arrays,
        "*.npz",
        NPY,
        bombs=(bombs.packed_arrays,),
    ),
    ".pth, .safetensors": Reader(
        model_files.write_weights, model_files.read_weights, "*", (*PICKLE, *JSON), True
    ),
    "TensorFlow.js graph": Reader(
        model_files.write_graph, model_files.read_graph_model, "*", JSON, True
    ),
    ".tflite, its graph": Reader(
        model_files.write_tflite, model_files.read_graph, "*.tflite", (), True
    ),
    ".tflite, run": Reader(
        model_files.write_tflite,
        lambda folder: model_files.predicted(folder, "model.tflite"),
        "*.tflite",
    ),
    "labels.txt": Reader(
        model_files.write_labels,
        model_files.read_labels,
        "labels.txt",
        (b"\n", b"\0", b"\xff", b"\r"),
    ),
    ".onnx": Reader(
        model_files.write_onnx,
        lambda folder: model_files.predicted(folder, "model.onnx"),
        "*.onnx",
        needs="tf2onnx",
        bombs=(bombs_of_graphs.onnx_file,),
    ),
    "SavedModel": Reader(
        model_files.write_saved_model,
        lambda folder: model_files.predicted(folder, "model"),
        "model/**/*",
        bombs=(bombs_of_graphs.saved_model,),
    ),
    "segments, csv": Reader(_write_segments, _read_segments, "*", CSV, True, bombs=RECODED),
    "recording: csv, session.json": Reader(
        _write_recording, _read_recording, "**/*.*", (*CSV, *JSON), bombs=RECODED
    ),
    "recording that was stopped": Reader(
        _write_recording, _read_stopped_recording, "*.csv", CSV, True
    ),
    "video": Reader(_write_video, _read_video, "*", needs="av"),
}
