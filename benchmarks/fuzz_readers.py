"""Every reader of files that keras_kd has, each with a small valid input: what fuzz.py and the
tests spoil.
"""

from __future__ import annotations

import io
import json
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

COUNT = 12
SIDE = 8


@dataclass(frozen=True)
class Reader:
    """One way into the library.

    Attributes:
        write: writes valid input into an empty folder.
        read: reads what lies there, as users' calls do.
        spoilt: which of the files are spoilt, as a glob.
        tokens: words of the format, for edits that random bytes would hardly find.
        guided: whether it is Python all through, so that its coverage can guide the search.
        share: of the cases that are asked for, less than 1 where a case is dear.
        needs: a package of an extra, without which the reader is left out.
    """

    write: Callable[[Path], None]
    read: Callable[[Path], object]
    spoilt: str
    tokens: tuple[bytes, ...] = ()
    guided: bool = False
    share: float = 1.0
    needs: str = ""


def _picture(seed: int = 0, side: int = SIDE) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8))


def _write_fer2013(folder: Path) -> None:
    pixels = " ".join(map(str, range(256))) + " 7" * (48 * 48 - 256)
    rows = [
        f"{number % 7},{pixels},{('Training', 'PublicTest', 'PrivateTest')[number % 3]}"
        for number in range(4)
    ]
    (folder / "fer2013.csv").write_text("\n".join(["emotion,pixels,Usage", *rows]) + "\n")


def _read_fer2013(folder: Path) -> object:
    from keras_kd import datasets

    return datasets.load(f"fer2013:{folder / 'fer2013.csv'}", "train")


def _write_ferplus(folder: Path) -> None:
    _write_fer2013(folder)
    usages = ("Training", "PublicTest", "PrivateTest", "Training")
    rows = [f"{usage},{number}.png,4,0,0,1,3,2,0,0,0,0" for number, usage in enumerate(usages)]
    header = (
        "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    )
    (folder / "fer2013new.csv").write_text("\n".join([header, *rows]) + "\n")


def _read_ferplus(folder: Path) -> object:
    from keras_kd import datasets

    return datasets.load(f"ferplus:{folder}", "train")


def _write_rafdb(folder: Path) -> None:
    aligned = folder / "Image" / "aligned"
    aligned.mkdir(parents=True)
    lines = [
        f"{half}_{number}.jpg {number % 7 + 1}"
        for half in ("train", "test")
        for number in range(14)
    ]
    for line in lines:
        _picture().save(aligned / f"{line.split('.')[0]}_aligned.jpg")
    (folder / "list_patition_label.txt").write_text("\n".join(lines) + "\n")


def _read_rafdb(folder: Path) -> object:
    from keras_kd import datasets

    return datasets.load(f"rafdb:{folder}", "train")


def _write_parquet(folder: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    picture = io.BytesIO()
    _picture().save(picture, "png")
    images = [{"bytes": picture.getvalue(), "path": None}] * COUNT
    table = pyarrow.table({"image": images, "label": ["a", "b"] * (COUNT // 2)})
    pyarrow.parquet.write_table(table, folder / "train-00000-of-00001.parquet")


def _read_parquet(folder: Path) -> object:
    from keras_kd import datasets

    return datasets.load(f"parquet:{folder}", "train")


def _write_affectnet(folder: Path) -> None:
    annotations, images = folder / "val_set" / "annotations", folder / "val_set" / "images"
    annotations.mkdir(parents=True)
    images.mkdir()
    for number in range(8):
        _picture(side=80).save(images / f"{number}.jpg")
        parts = {
            "exp": str(number),
            "val": "0.5",
            "aro": -0.25,
            "lnd": np.arange(136.0).reshape(68, 2) / 2,
        }
        for part, value in parts.items():
            np.save(annotations / f"{number}_{part}.npy", value)


def _read_affectnet(folder: Path) -> object:
    from keras_kd import datasets

    return datasets.load(f"affectnet:{folder}", "test", size=SIDE)


def _write_affectnet_csv(folder: Path) -> None:
    (folder / "1").mkdir()
    rows = ["subDirectory_filePath,facial_landmarks,expression,valence,arousal"]
    for number in range(8):
        _picture(side=80).save(folder / "1" / f"{number}.jpg")
        rows.append(f"1/{number}.jpg,{';'.join(map(str, range(136)))},{number},0.5,-0.25")
    (folder / "validation.csv").write_text("\n".join(rows) + "\n")


def _write_pictures(folder: Path) -> None:
    from keras_kd.datasets import images

    images.formats()  # registers HEIC where it can be read
    names = ["a.png", "b.jpg", "c.gif", "d.bmp", "e.tiff", "f.webp", "g.ppm", "l.avif", "m.jp2"]
    for name in (*names, *(["n.heic"] if ".heic" in images.suffixes() else [])):
        _picture().save(folder / name)
    _picture().convert("RGBA").save(folder / "o.png", save_all=True, append_images=[_picture()])
    _picture().convert("CMYK").save(folder / "p.tif")
    _picture().convert("P").save(folder / "h.png", interlace=True)
    deep = np.asarray(_picture().convert("L")).astype(np.uint16) * 257
    Image.fromarray(deep).save(folder / "i.png")
    _picture().save(folder / "j.tif", compression="tiff_lzw")
    exif = Image.Exif()
    exif[0x0112] = 6
    _picture().save(folder / "k.jpg", exif=exif, progressive=True)


def _read_pictures(folder: Path) -> object:
    from keras_kd.datasets import images
    from keras_kd.errors import KerasKDError

    refused = None
    for path in sorted(folder.iterdir()):
        try:
            images.read(path)
        except KerasKDError as error:
            refused = error
    if refused:
        raise refused


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
    np.save(folder / "logits.npy", np.zeros((COUNT, 2, 4), np.float16))


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


def _small_model() -> object:
    import keras

    image = keras.Input((SIDE, SIDE, 1), name="image")
    x = keras.layers.Conv2D(2, 3, activation="relu")(keras.layers.Rescaling(1 / 255)(image))
    return keras.Model(image, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x)))


def _write_keras(folder: Path) -> None:
    from keras_kd.models import keras_file

    keras_file.save(
        _small_model(),
        folder / "model.keras",
        keras_file.ModelSpec(("a", "b"), input_shape=(SIDE, SIDE, 1)),
    )


def _write_h5(folder: Path) -> None:
    _small_model().save(folder / "model.h5")


def _predicted(folder: Path, name: str) -> object:
    from keras_kd.runtimes import predictors

    return predictors.load(folder / name).predict(np.zeros((1, SIDE, SIDE, 1), np.uint8))


def _write_weights(folder: Path) -> None:
    """The same small state dict in each of the three forms, written here byte by byte."""
    text = b"X\x06\x00\x00\x00weight"
    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x06tQ"
    tensor = (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + storage
        + b"K\x00K\x02K\x03\x86K\x03K\x01\x86\x89}tR"
    )
    pickled = b"\x80\x02}" + text + tensor + b"s."
    with zipfile.ZipFile(folder / "new.pth", "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/data/0", bytes(24))
    start = [
        pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
    ]
    numbers = struct.pack("<q", 6) + bytes(24)
    (folder / "old.pth").write_bytes(b"".join([*start, pickled, pickle.dumps(["0"], 2), numbers]))
    header = json.dumps(
        {"weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}
    ).encode()
    (folder / "weights.safetensors").write_bytes(
        struct.pack("<Q", len(header)) + header + bytes(24)
    )


def _write_graph(folder: Path) -> None:
    """A TensorFlow.js graph model of one activation."""
    steps = (("Placeholder", []), ("Add", ["n0", "w"]), ("Mean", ["n1"]))
    nodes = [
        {"name": f"n{number}", "op": op, "input": inputs, "attr": {}}
        for number, (op, inputs) in enumerate(steps)
    ]
    weight = {"name": "w", "shape": [4], "dtype": "float32", "quantization": {"dtype": "float16"}}
    manifest = [{"paths": ["weights.bin"], "weights": [weight]}]
    content = {"modelTopology": {"node": nodes}, "weightsManifest": manifest}
    (folder / "model.json").write_text(json.dumps(content))
    (folder / "weights.bin").write_bytes(np.ones(4, np.float16).tobytes())


def _read_graph_model(folder: Path) -> object:
    from keras_kd.checkpoints import _tensorflow_js
    from keras_kd.errors import ModelError

    graph = _tensorflow_js.read(folder / "model.json")
    try:
        return graph.chain("Mean")
    except ValueError as error:  # As the architecture's reader takes it.
        raise ModelError(str(error)) from error


def _read_weights(folder: Path) -> object:
    from keras_kd.checkpoints import _files
    from keras_kd.errors import KerasKDError

    refused = None
    for path in sorted(folder.iterdir()):
        try:
            _files.read(path)
        except KerasKDError as error:
            refused = error
    if refused:
        raise refused


def _write_tflite(folder: Path) -> None:
    from keras_kd import export

    export(_small_model(), folder / "model.tflite", format="float32")
    (folder / "labels.txt").write_text("a\nb\n")


def _read_graph(folder: Path) -> object:
    from keras_kd.runtimes import litert, multiply_accumulates

    path = folder / "model.tflite"
    return (
        litert.custom_or_flex(path),
        multiply_accumulates.of_tflite(path),
        multiply_accumulates.live_taps(path),
    )


def _write_labels(folder: Path) -> None:
    _write_tflite(folder)


def _read_labels(folder: Path) -> object:
    from keras_kd.sessions import _reader

    return _reader.load(folder / "model.tflite")


def _write_onnx(folder: Path) -> None:
    from keras_kd import export

    export(_small_model(), folder / "model.onnx", format="onnx")


def _write_saved_model(folder: Path) -> None:
    from keras_kd import export

    export(_small_model(), folder / "model", format="saved_model")


def _write_segments(folder: Path) -> None:
    (folder / "tasks.csv").write_text("start_s,end_s,task\n0,10.5,rest\n10.5,20,pay & go\n")


def _read_segments(folder: Path) -> object:
    from keras_kd.sessions import _options

    return _options.read_tasks(folder / "tasks.csv")


def _write_recording(folder: Path) -> None:
    lines = [
        "frame,time_s,face_id,box,detection_score,quality,p_angry,p_happy,valence,sharpness,roll,turn"
    ]
    for number in range(20):
        face = "1,10.0 10.0 50.0 50.0,0.9000,0.8000,0.30000,0.70000,0.10000,0.2000,0.010,0.020"
        lines.append(f"{number},{number / 10:.4f},{face if number % 5 else ',' * 9}")
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
    return _recording._resumed(copy, header)


def _write_video(folder: Path) -> None:
    from keras_kd.sessions import _video

    frames = (np.roll(np.asarray(_picture(side=32)), number, 0) for number in range(6))
    _video.write(folder / "film.mp4", frames, 10)


def _read_video(folder: Path) -> object:
    from keras_kd.sessions import _video

    with _video.Video(folder / "film.mp4") as video:
        return sum(1 for _ in video.after())


_CSV = (
    b",",
    b'"',
    b"\n",
    b"\r",
    b"\0",
    b"\xff",
    b"-1",
    b"nan",
    b"inf",
    b"1e400",
    b"\xef\xbb\xbf",
    b"9" * 5000,
)
_JSON = (
    b"{",
    b"}",
    b"[",
    b"]",
    b"null",
    b"true",
    b'""',
    b"-1",
    b"1e999",
    b"NaN",
    b"{}",
    b"[]",
    b"9" * 5000,
    b"[" * 5000,
)
_TOML = (*_JSON, b"\n[a.b]\n", b"[[a]]\n", b"= ", b"inf", b"1979-05-27", b"'''", b"a." * 3000)
_NPY = (
    b"'descr': '|O'",
    b"'<f2'",
    b"'|S9'",
    b"'<U9'",
    b"True",
    b"(99999, 99999)",
    b"(0,)",
    b"\x80\x04",
    b"cos\nsystem\n",
)
_PICKLE = (
    b"cos\nsystem\n",
    b"R",
    b"Q",
    b"\x85",
    b"\x93",
    b"(",
    b"}",
    b"\x8a\xff",
    b"b",
    b"s",
    b"u",
    b".",
    b"h\x00",
)
_KERAS = (
    b"Lambda",
    b"TFSMLayer",
    b'"module": "os"',
    b'"class_name": "system"',
    b"1000000000",
    *_JSON,
)

READERS = {
    "fer2013.csv": Reader(
        _write_fer2013, _read_fer2013, "fer2013.csv", (*_CSV, b"Training", b"256"), True
    ),
    "FER+ votes, csv": Reader(_write_ferplus, _read_ferplus, "fer2013new.csv", _CSV, True),
    "RAF-DB list": Reader(
        _write_rafdb, _read_rafdb, "*.txt", (b"../../x.jpg 1", b"/etc/passwd", b"\0", b"8"), True
    ),
    "AffectNet npy": Reader(
        _write_affectnet, _read_affectnet, "val_set/annotations/*.npy", _NPY, True
    ),
    "AffectNet csv": Reader(
        _write_affectnet_csv, _read_affectnet, "*.csv", (*_CSV, b"../../x.jpg"), True
    ),
    "Parquet": Reader(_write_parquet, _read_parquet, "*.parquet", (b"PAR1",), needs="pyarrow"),
    "images": Reader(_write_pictures, _read_pictures, "*"),
    "soft labels: store.json, logits.npy": Reader(
        _write_store, _read_store, "*", (*_JSON, *_NPY), True
    ),
    "config.toml": Reader(_write_config, _read_config, "*", _TOML, True),
    "run folder: metrics.json, config.toml": Reader(
        _write_run, _read_run, "*", (*_JSON, *_TOML), True
    ),
    "footprint.json": Reader(_write_footprint, _read_footprint, "*", _JSON, True),
    ".keras": Reader(_write_keras, lambda folder: _predicted(folder, "model.keras"), "*", _KERAS),
    ".h5": Reader(_write_h5, lambda folder: _predicted(folder, "model.h5"), "*", _KERAS),
    ".pth, .safetensors": Reader(_write_weights, _read_weights, "*", (*_PICKLE, *_JSON), True),
    "TensorFlow.js graph": Reader(_write_graph, _read_graph_model, "*", _JSON, True),
    ".tflite, its graph": Reader(_write_tflite, _read_graph, "*.tflite", (), True),
    ".tflite, run": Reader(
        _write_tflite, lambda folder: _predicted(folder, "model.tflite"), "*.tflite", share=0.1
    ),
    "labels.txt": Reader(_write_labels, _read_labels, "labels.txt", (b"\n", b"\0", b"\xff", b"\r")),
    ".onnx": Reader(
        _write_onnx, lambda folder: _predicted(folder, "model.onnx"), "*.onnx", needs="tf2onnx"
    ),
    "SavedModel": Reader(
        _write_saved_model, lambda folder: _predicted(folder, "model"), "model/**/*"
    ),
    "segments, csv": Reader(_write_segments, _read_segments, "*", _CSV, True),
    "recording: csv, session.json": Reader(
        _write_recording, _read_recording, "**/*.*", (*_CSV, *_JSON)
    ),
    "recording that was stopped": Reader(
        _write_recording, _read_stopped_recording, "*.csv", _CSV, True
    ),
    "video": Reader(_write_video, _read_video, "*", needs="av"),
}
