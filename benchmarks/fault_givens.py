"""What the lessons of fault_lessons.py start from."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import sys
from pathlib import Path

import numpy as np
from fault_lessons import DISTILLING, LABELLING
from fault_processes import ended, started
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import drawn_film

from keras_kd.datasets.readers import faces

IMAGES = {"train": 140, "validation": 35, "test": 35}
FILM_SECONDS, FILM_RATE = 20, 10
LITERT_JS = "2.5.3"


def draw_data(given: Path) -> None:
    """Draw a few faces into class folders."""
    for split, count in IMAGES.items():
        drawn = faces.generate(count, faces.SEEDS[split])
        for number, (image, label) in enumerate(zip(drawn.images, drawn.labels, strict=True)):
            path = given / "data" / split / drawn.class_names[label] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)


def draw_film(given: Path) -> None:
    """Draw a face that begins to smile."""
    units = np.linspace(
        faces.prototype("neutral"), faces.prototype("happy"), FILM_SECONDS * FILM_RATE
    )
    drawn_film.write(given / "film.mp4", map(drawn_film.scene, faces.film(units, 1)), FILM_RATE)


def train_teacher(given: Path) -> None:
    """Train a teacher and keep the cache that it lies in."""
    ended(given, started(given, [*LABELLING.split(), "--out", "."]))


def build_small(given: Path) -> None:
    """Build a student that takes seconds to train: a sweep's own work counts, not its trainings'.

    TensorFlow must not begin to work in the process that others are forked from: they would wait.
    """
    process = multiprocessing.get_context("fork").Process(target=_build_small, args=(given,))
    process.start()
    process.join()


def _build_small(given: Path) -> None:
    import keras

    image = keras.Input((16, 16, 1))
    logits = keras.layers.Dense(7, name="logits")(keras.layers.Flatten()(image))
    keras.Model(image, logits).save(given / "small.keras")


def export_weights(given: Path) -> None:
    """Write the teacher's weights in PyTorch's form."""
    export = ["export", "teacher.keras", "--format", "safetensors", "--out", "weights.safetensors"]
    ended(given, started(given, export))


def export_bundle(given: Path) -> None:
    """Bundle the teacher."""
    export = ["export", "teacher.keras", "--format", "float32", "--bundle", "--out", "bundle"]
    ended(given, started(given, [*export, "--data", "data"]))


def make_packages(given: Path) -> None:
    """Files under the names and of the sizes of LiteRT.js', which no page of a lesson loads."""
    modules = given / "packages" / "node_modules" / "@litertjs"
    core = modules / "core"
    for folder in (core / "dist", core / "wasm", modules / "wasm-utils" / "dist"):
        folder.mkdir(parents=True)
        (folder / "index.js").write_text("export {};\n")
    (core / "package.json").write_text(json.dumps({"version": LITERT_JS}))
    for name in ("litert_wasm_internal", "litert_wasm_compat_internal"):
        (core / "wasm" / f"{name}.js").write_text("\n" * 100_000)
        (core / "wasm" / f"{name}.wasm").write_bytes(bytes(9_000_000))


def draw_wall(given: Path) -> None:
    """Draw a picture of a face on a wall."""
    face = faces.film(faces.prototype("happy")[None], 1)[0]
    Image.fromarray(drawn_film.scene(face)).save(given / "wall.png")


def analyze_groups(given: Path) -> None:
    """Analyse the film once, for two groups of two participants each."""
    (given / "groups").mkdir()
    (given / "groups" / "tasks.csv").write_text("start_s,end_s,task\n0,9,first\n9,19,second\n")
    analyze = ["analyze", "film.mp4", "--crop", "1.5", "--segments", "groups/tasks.csv"]
    ended(given, started(given, [*analyze, "--out", "groups/analysed"]))
    for group in "AB":
        for participant in ("p1", "p2"):
            target = given / "groups" / group / f"{participant}.csv"
            target.parent.mkdir(exist_ok=True)
            shutil.copy(given / "groups" / "analysed" / "film.csv", target)
            folder = given / "groups" / "analysed" / "film"
            shutil.copytree(folder, target.with_suffix(""))


def distil_run(given: Path) -> None:
    """Distil a student, as the lesson of that name does; it is made again from other folders."""
    distil = [part.replace("../given", str(given.absolute())) for part in DISTILLING.split()]
    ended(given, started(given, [*distil, "--out", "run"]))


MAKERS = {
    "data": draw_data,
    "teacher.keras": train_teacher,
    "small.keras": build_small,
    "film.mp4": draw_film,
    "weights.safetensors": export_weights,
    "bundle": export_bundle,
    "packages": make_packages,
    "wall.png": draw_wall,
    "groups": analyze_groups,
    "run": distil_run,
}


def make(given: Path, names: tuple[str, ...]) -> None:
    """Make what a lesson starts from, unless it is there."""
    given.mkdir(parents=True, exist_ok=True)
    for name in names:
        if not (given / name).exists():
            MAKERS[name](given)
