"""The guide's programs, compiled and run: C on TensorFlow Lite's C library, TypeScript in Chromium,
Kotlin on a JVM against declarations of Android's and LiteRT's classes. Swift and Dart, whose
compilers are in no registry of packages, are parsed alone.
"""

from __future__ import annotations

import datetime
import functools
import json
import shutil
import subprocess
import threading
import warnings
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import app_programs
import keras
import numpy as np
import pytest
from app_programs import APPS, FACES, MISSING, PACKAGES
from drawn_film import colour_model
from web_driver import chromium

from keras_kd import export
from keras_kd.datasets.pixel_values import PixelValues
from keras_kd.exporters import _guide_code, app_versions, bundle, guide
from keras_kd.sessions import SIDE, _faces

SHIPPED = Path(__file__).parents[2] / "exports" / "B"
TF_LITE = PACKAGES / "tfjs-tflite-node" / "cc_deps"
LITERT_JS = APPS.parent / "browser" / "node_modules" / "@litertjs"
CAFFE = PixelValues(mean=(103.939, 116.779, 123.68), std=(1.0, 2.0, 4.0), channel_order="bgr")

# Of a JVM that ends before its second compiler pays: half of the time.
SHORT = "-XX:TieredStopAtLevel=1"

needs_c = pytest.mark.skipif(
    shutil.which("cc") is None or not TF_LITE.is_dir(), reason=f"no C compiler, or {MISSING}"
)
needs_node = pytest.mark.skipif(
    shutil.which("node") is None or not (PACKAGES / ".bin" / "tsc").exists(), reason=MISSING
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A file for colours with values, one of gray bytes, and one with means in the order BGR."""
    folders = {name: tmp_path_factory.mktemp(name) for name in ("values", "app", "caffe")}
    image = keras.Input((6, 7, 3))
    means = keras.Model(image, keras.layers.GlobalAveragePooling2D()(image))
    caffe, app = folders["caffe"] / "caffe.tflite", folders["app"] / "gray.tflite"
    names = ("sad", "happy", "fear")
    export(means, caffe, "float32", class_names=names, value_range=CAFFE)
    export(means, app, "float32", io="app", class_names=names, app_input=(6, 7, 1))
    return {
        "values": colour_model(folders["values"], with_values=True),
        "app": app,
        "caffe": caffe,
    }


KINDS = ("values", "app", "caffe")


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("picture") / "picture.rgb"
    path.write_bytes(app_programs.picture().tobytes())
    return path


def _compiled(found: guide.Facts, folder: Path, driver: str = "") -> Path:
    app_programs.write(found, folder, "model.c")
    (folder / "driver.c").write_text(driver or '#include "model.c"\n')
    library = TF_LITE / "linux_amd64"
    subprocess.run(
        [
            "cc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-O2", f"-I{TF_LITE / 'include'}",
            folder / "driver.c", "-o", folder / "program", f"-L{library}", "-ltensorflowlite_c",
            f"-Wl,-rpath,{library}", "-lm",
        ],
        check=True,
    )  # fmt: skip
    return folder / "program"


def _ran(*command: object) -> subprocess.CompletedProcess:
    return subprocess.run([*map(str, command)], capture_output=True, text=True)


@needs_c
@pytest.mark.parametrize("kind", KINDS)
def test_c_gives_the_worked_outputs_on_the_real_library_and_says_what_is_wrong(
    kind: str, files: dict[str, Path], tmp_path: Path
) -> None:
    found = guide.facts(files[kind])
    program = _compiled(found, tmp_path)
    done = _ran(program, files[kind])
    assert done.returncode == 0, done.stderr
    numbers = [float(line) for line in done.stdout.splitlines() if "labels" not in line]
    flat = [value for values in found.example.values() for value in values]
    np.testing.assert_allclose(numbers, flat, atol=found.tolerance)
    other = files["app" if kind != "app" else "values"]
    for file, problem in (("none.tflite", "missing"), (other, "another model")):
        failed = _ran(program, file)
        assert failed.returncode == 2 and problem in failed.stderr


@needs_c
def test_the_worked_input_finds_a_library_that_is_wrong_without_an_error(
    files: dict[str, Path], tmp_path: Path
) -> None:
    """Weights with a scale a channel give one constant answer on TensorFlow Lite 2.9; other files
    that are said to run there must.
    """
    done = _ran(_compiled(guide.facts(SHIPPED), tmp_path), SHIPPED / "model.tflite")
    right = "TensorFlow Lite 2.8" in bundle.minimum_runtimes(SHIPPED / "model.tflite")
    assert done.returncode == (0 if right else 1), done.stderr
    found = guide.facts(files["app"])
    shifted = {name: [value + 0.1 for value in row] for name, row in found.example.items()}
    done = _ran(_compiled(replace(found, example=shifted), tmp_path), files["app"])
    assert done.returncode == 1 and "other numbers" in done.stderr


C_DRIVER = """\
#define main worked
#include "model.c"
#undef main
int main(int count, char **words) {
  static uint8_t bytes[3 * 160 * 200];
  FILE *file = fopen(words[1], "rb");
  if (count != 7 || fread(bytes, 1, sizeof bytes, file) != sizeof bytes) return 1;
  const Picture picture = {bytes, 200, 160, 600, 3, 0, 1, 2};
  static Input image[SIZE];
  double at[5];
  for (int i = 0; i < 5; i++) at[i] = atof(words[2 + i]);
  crop_face(&picture, at[0], at[1], at[2], at[3], at[4], image);
  for (int i = 0; i < SIZE; i++) printf("%.9g ", (double)image[i]);
  return 0;
}
"""


@needs_c
@pytest.mark.parametrize("kind", ["shipped", "caffe"])
def test_cs_crop_is_pythons(kind: str, files: dict[str, Path], raw: Path, tmp_path: Path) -> None:
    found = guide.facts(files.get(kind, SHIPPED))
    program = _compiled(found, tmp_path, C_DRIVER)
    for box, degrees in FACES:
        done = _ran(program, raw, *app_programs.arguments(box, degrees, found))
        app_programs.assert_like(done.stdout.split(), box, degrees, found)


def test_the_numbers_of_a_faces_square_are_those_of_the_programs_own_crop() -> None:
    assert (_guide_code.FACE_SIDE, _guide_code.FACE_RISE) == (SIDE, _faces.RISE)


def _typescript(found: guide.Facts, folder: Path) -> None:
    app_programs.write(found, folder, "crop.ts", "web.ts", "reactNative.ts")
    (folder / "node_modules").mkdir()
    for packages in (PACKAGES, LITERT_JS.parent):
        for package in packages.glob("[!.]*"):
            (folder / "node_modules" / package.name).symlink_to(package)
    options = {
        "strict": True, "noUncheckedIndexedAccess": True, "skipLibCheck": True, "outDir": "js",
        "target": "es2022", "module": "es2022", "moduleResolution": "bundler",
        "lib": ["es2022", "dom", "dom.iterable"], "types": ["@webgpu/types"],
    }  # fmt: skip
    settings = {"compilerOptions": options, "include": ["*.ts"]}
    (folder / "tsconfig.json").write_text(json.dumps(settings))
    (folder / "package.json").write_text('{"type": "module"}')
    done = _ran(PACKAGES / ".bin" / "tsc", "-p", folder)
    assert done.returncode == 0, done.stdout


@needs_node
@pytest.mark.skipif(not LITERT_JS.is_dir(), reason="LiteRT.js of `make browser` is not installed")
@pytest.mark.parametrize("kind", [*KINDS, "shipped"])
def test_typescript_is_strict_and_its_crop_is_pythons(
    kind: str, files: dict[str, Path], raw: Path, tmp_path: Path
) -> None:
    found = guide.facts(files.get(kind, SHIPPED))
    _typescript(found, tmp_path)
    script = """
        import { readFileSync } from "node:fs";
        import * as program from "./js/crop.js";
        const crop = program.cropFace ?? program.crop;
        const [file, ...words] = process.argv.slice(2);
        const [x, y, width, height, tilt] = words.map(Number);
        const bytes = readFileSync(file), colours = { red: 0, green: 1, blue: 2 };
        const from = { bytes, width: 200, height: 160, row: 600, step: 3, ...colours };
        const image = crop(from, { x, y, width, height }, tilt);
        console.log(JSON.stringify([Array.from(image), Array.from(program.workedInput())]));
    """
    (tmp_path / "try.js").write_text(script)
    for box, degrees in FACES:
        words = app_programs.arguments(box, degrees, found)
        image, worked = json.loads(_ran("node", tmp_path / "try.js", raw, *words).stdout)
        app_programs.assert_like(image, box, degrees, found)
    wanted = found.pixels.of(guide.worked_input(found.shape)[None]).ravel()
    np.testing.assert_allclose(worked, wanted, rtol=1e-6, atol=1e-6)


PAGE = """<!doctype html><script type="importmap">{"imports": {
"@litertjs/core": "./node_modules/@litertjs/core/dist/index.js",
"@litertjs/wasm-utils": "./node_modules/@litertjs/wasm-utils/dist/index.js"}}</script>
<script type="module">
import { Model, pictureOf } from "./js/web.js";
import { crop, workedInput } from "./js/crop.js";
try {
  const wasm = "./node_modules/@litertjs/core/wasm/";
  const model = await Model.open("./model.tflite", wasm, { gpu: true });
  const picture = pictureOf(new OffscreenCanvas(9, 9), 9, 9);
  const outputs = await model.run(workedInput());
  const cropped = await model.run(crop(picture, { x: 4, y: 4, width: 9, height: 9 }));
  window.found = { right: await model.check(), outputs: outputs.map((one) => [...one]), accelerator:
    model.accelerator, reason: model.reason, cropped: cropped.length };
  model.close();
} catch (error) { window.found = { error: String(error) }; }
</script>"""


@needs_node
@pytest.mark.skipif(
    shutil.which("chromedriver") is None or not LITERT_JS.is_dir(),
    reason="Chromium and LiteRT.js of `make browser` are not installed",
)
@pytest.mark.parametrize("kind", ["values", "app", "shipped"])
def test_the_web_program_runs_in_chromium_and_says_what_it_got(
    kind: str, files: dict[str, Path], tmp_path: Path
) -> None:
    file = files.get(kind, SHIPPED / "model.tflite")
    found = guide.facts(file)
    _typescript(found, tmp_path)
    shutil.copyfile(file, tmp_path / "model.tflite")
    (tmp_path / "index.html").write_text(PAGE)
    handler = functools.partial(_Silent, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with chromium() as browser:
            browser.open(f"http://127.0.0.1:{server.server_port}/")
            told = browser.wait("return window.found")
        server.shutdown()
    assert told.get("right") is True, told
    assert told["accelerator"] == "wasm" and told["reason"]
    flat = [value for values in told["outputs"] for value in values]
    wanted = [value for values in found.example.values() for value in values]
    np.testing.assert_allclose(flat, wanted, atol=found.tolerance)


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.mark.skipif(
    shutil.which("java") is None or not (PACKAGES / "kotlin-compiler").is_dir(),
    reason=f"no Java, or {MISSING}",
)
def test_kotlin_compiles_its_crop_is_pythons_and_it_says_what_it_got(
    files: dict[str, Path], raw: Path, tmp_path: Path
) -> None:
    """Against declarations: Google's Maven alone has the classes. One compilation for all."""
    facts = {kind: guide.facts(files.get(kind, SHIPPED)) for kind in ("caffe", "shipped")}
    for kind, found in facts.items():
        names = ("Crop.kt", "Model.kt", "InterpreterModel.kt", "Camera.kt")
        app_programs.write(found, tmp_path / kind, *names)
        shutil.copyfile(APPS / "stubs" / "Try.kt", tmp_path / kind / "Try.kt")
        for path in (tmp_path / kind).iterdir():
            path.write_text(f"package {kind}\n\n{path.read_text('utf-8')}", encoding="utf-8")
    stubs = [path for path in (APPS / "stubs").glob("*.kt") if path.name != "Try.kt"]
    compiler = PACKAGES / "kotlin-compiler" / "bin" / "kotlinc"
    example = (APPS.parents[1] / "examples" / "android").rglob("*.kt")
    sources = [*sorted(tmp_path.glob("*/*.kt")), *stubs, *example]
    jar = tmp_path / "app.jar"
    done = _ran("bash", compiler, f"-J{SHORT}", "-Werror", "-include-runtime", "-d", jar, *sources)
    assert done.returncode == 0, done.stderr
    for kind, found in facts.items():
        for box, degrees in FACES[1:3]:
            words = app_programs.arguments(box, degrees, found)
            done = _ran("java", SHORT, "-cp", jar, f"{kind}.TryKt", raw, 200, 160, *words)
            image, worked, *told = done.stdout.splitlines()
            values = _unsigned(image, found)
            app_programs.assert_like(values, box, degrees, found)
        wanted = found.pixels.of(guide.worked_input(found.shape)[None]).ravel()
        np.testing.assert_allclose(_unsigned(worked, found), wanted, rtol=1e-6, atol=1e-6)
        assert told == ["GPU null true", "0 open", "CPU no GPU true", "0 open"]


@pytest.mark.skipif(
    shutil.which("node") is None or not (PACKAGES / "web-tree-sitter").is_dir(), reason=MISSING
)
def test_swift_and_dart_have_no_error_of_syntax(files: dict[str, Path], tmp_path: Path) -> None:
    programs = ("model.swift", "model.dart")
    for kind in ("values", "caffe", "shipped"):
        app_programs.write(guide.facts(files.get(kind, SHIPPED)), tmp_path / kind, *programs)
    paths = sorted(tmp_path.glob("*/model.*"))
    # One process for all, as its grammars take seconds to load.
    spoilt = [tmp_path / f"spoilt{path.suffix}" for path in paths[:2]]
    for path, copy in zip(paths, spoilt, strict=False):
        copy.write_text(path.read_text("utf-8").replace("{", "(", 1), encoding="utf-8")
    done = _ran("node", APPS / "syntax.mjs", *paths, *spoilt)
    assert (len(paths), done.returncode, done.stderr) == (6, 0, "")
    assert {copy.suffix for copy in spoilt} == {".swift", ".dart"}
    assert all(f"{copy}:" in done.stdout for copy in spoilt)
    assert not any(f"{path}:" in done.stdout for path in paths)


def _unsigned(line: str, found: guide.Facts) -> np.ndarray:
    values = np.array(line.split(), np.float64)
    # The JVM's bytes have signs.
    return values % 256 if found.dtype == "uint8" else values


def test_the_versions_of_the_guide_are_not_too_old() -> None:
    """A reminder after half a year; a failure after two."""
    age = (datetime.date.today() - app_versions.checked()).days
    told = f"{app_versions.TABLE.name} was checked {age} days ago: look its versions up again."
    assert age < 2 * 365, told
    if age > 183:
        warnings.warn(pytest.PytestWarning(told), stacklevel=1)


def test_the_versions_are_those_that_the_tests_compile_with() -> None:
    versions = app_versions.versions()
    for folder in ("apps", "browser"):
        pinned = json.loads((APPS.parent / folder / "package.json").read_text("utf-8"))
        for package, version in pinned["dependencies"].items():
            assert versions.get(package, version) == version
    lock = (APPS.parents[1] / "requirements.lock").read_text("utf-8")
    assert f"ai-edge-litert=={versions['ai-edge-litert']}\n" in lock
