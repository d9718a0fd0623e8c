"""A page that runs an exported model in the browser: a folder of files for any web server, or
served from here.

LiteRT.js computes; it comes from npm, in the version that was tested. The page loads nothing from
outside its own origin, and a content security policy enforces this.
"""

from __future__ import annotations

import html
import json
import math
import shutil
from collections.abc import Callable
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

from keras_kd._common.checked_files import read_json, read_text
from keras_kd._common.folders import folder_written_whole
from keras_kd._common.text import command_line, encodable
from keras_kd.errors import ModelError, OutputError
from keras_kd.exporters import bundle
from keras_kd.runtimes import pixel_check, predictors, stored_spec, tflite_graph
from keras_kd.runtimes.litert import LiteRTModel
from keras_kd.runtimes.stated import NOTHING, Stated
from keras_kd.sessions import (
    CONFIDENCE,
    SCORE,
    SIDE,
    _blazeface,
    _charts,
    _detectors,
    _faces,
    _patterns,
    _reader,
    _server,
)
from keras_kd.sessions._quality import LIMITS

# Results of a video or a camera that the page keeps: its memory must not grow for hours.
KEPT = 20_000
LITERT_JS = "2.5.3"
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; connect-src"
    " 'self'; img-src 'self' blob: data:; media-src 'self' blob:; base-uri 'none'; form-action"
    " 'none'"
)
_SOURCES = Path(__file__).with_name("web_page")
_CORE = "node_modules/@litertjs/core"
_WASM = ("litert_wasm_internal", "litert_wasm_compat_internal")


def build(
    model: str | Path,
    folder: Path,
    packages: Path,
    side: float = SIDE,
    confidence: float = CONFIDENCE,
    stated: Stated = NOTHING,
    tell: Callable[[str], None] = lambda text: None,
) -> None:
    """Write the page for a model as a folder.

    Args:
        model: a bundle's folder, or a `.tflite` file with `labels.txt` beside it.
        folder: the folder to write; it must not exist, or be empty.
        packages: folder in which npm installed LiteRT.js.
        side: width of the crop for the model, in widths of the face box.
        confidence: smallest probability of a label; below it, the page shows "uncertain".
        stated: what the user says of a file without metadata.
        tell: told what is assumed, as the end of a sentence about the model.

    Raises:
        ModelError: the model can't run in a browser, or LiteRT.js is missing.
        OutputError: the folder is in use.
    """
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise OutputError(f"{folder} is already in use: choose another --out.")
    path = bundle.model_file(model)
    settings = _settings(path, side, confidence, stated, tell)
    _check(packages)
    with folder_written_whole(folder, ("index.html",)) as made:
        made.mkdir(exist_ok=True)
        for source in _SOURCES.iterdir():
            text = source.read_text(encoding="utf-8")
            title = html.escape(f"Expressions: {settings['name']}")
            (made / source.name).write_text(
                (
                    text.replace("@POLICY@", POLICY).replace("@TITLE@", title)
                    if source.suffix == ".html"
                    else text
                ),
                encoding="utf-8",
            )
        shutil.copyfile(path, made / bundle.MODEL_FILE)
        for name in _blazeface.VARIANTS:
            shutil.copyfile(_blazeface.path(name), made / f"detector_{name}.tflite")
        (made / "model.json").write_text(
            json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        _copy_runtime(packages, made / "litert")


def _settings(
    path: Path, side: float, confidence: float, stated: Stated, tell: Callable[[str], None]
) -> dict[str, Any]:
    """What the page must know: the model's tensors and labels, and how Python finds and cuts out
    faces.
    """
    model = _model(path)
    predictor = predictors.load(path, stated)
    if predictor.assumes_pixels:
        tell(pixel_check.ASSUMED_PIXELS)
    class_names, spec = _reader.Reader(predictor).class_names, predictor.spec
    return {
        "name": encodable(path.parent.name if path.name == bundle.MODEL_FILE else path.stem),
        "input": {"shape": model.input_shape, "dtype": model.input_dtype.name},
        "widths": {
            name: math.prod(shape)
            for name, shape in model.output_shapes.items()
            if math.prod(shape) == 1 or name == predictor.head
        },
        # The output whose one number stands for two classes.
        "binary": predictor.head if predictor.is_binary else None,
        "output": spec.output,
        "value_range": stored_spec.range_of(path, spec),
        "class_names": class_names,
        "colours": _charts.colours(class_names),
        "patterns": {
            name: _patterns.tile_lines(number, name) for number, name in enumerate(class_names)
        },
        "side": side,
        "confidence": confidence,
        "kept": KEPT,
        "detector": _detector(),
    }


def _model(path: Path) -> LiteRTModel:
    """The model of a file that a browser can run."""
    if path.suffix != ".tflite":
        raise ModelError(
            "A browser runs .tflite files:"
            f" `{command_line(['kerakd', 'export', path, '--bundle'])}` makes one."
        )
    tflite_graph.require_one_size(path)
    model = LiteRTModel(path)
    if model.input_dtype.name not in ("float32", "uint8"):
        raise ModelError(
            f"{path} takes {model.input_dtype}: for the browser, export it by `kerakd export"
            " MODEL.keras --io app` or `--io float`."
        )
    model.require_one_image()
    return model


def _detector() -> dict[str, Any]:
    """How Python finds and cuts out faces."""
    variants = {
        name: {
            "size": LiteRTModel(_blazeface.path(name), trusted=True).input_shape[0],
            "grids": variant.grids,
            "scale": variant.scale,
            "drop": variant.drop,
        }
        for name, variant in _blazeface.VARIANTS.items()
    }
    return {
        "score": SCORE,
        "sure": _detectors.SURE,
        "checked": _detectors.CHECKED,
        "closer": _detectors.CLOSER,
        "look": _detectors.LOOK,
        "lowest": _detectors.LOWEST,
        "pixels": _faces.PIXELS,
        "readable": LIMITS["second look"][0],
        "same_face": _blazeface.SAME_FACE,
        "variants": variants,
        "geometry": {"side": SIDE, "rise": _faces.RISE, "rise_per_side": _faces.RISE_PER_SIDE},
    }


def _check(packages: Path) -> None:
    try:
        record = read_text(packages / _CORE / "package.json")
        found = read_json(record, {"version": str})["version"] == LITERT_JS
    except (OSError, ValueError):  # missing, or npm was stopped while it wrote
        found = False
    if not (found and all(path.is_file() for path in _runtime(packages))):
        raise ModelError(
            f"LiteRT.js {LITERT_JS} is not in {packages}: install it with "
            f"`npm install --prefix {packages} @litertjs/core@{LITERT_JS}`."
        )


def _runtime(packages: Path) -> list[Path]:
    """What the page loads of LiteRT.js: its code, its helper's, and what both load."""
    core, helper = packages / _CORE, packages / "node_modules/@litertjs/wasm-utils/dist/index.js"
    wasm = [core / "wasm" / f"{name}.{suffix}" for name in _WASM for suffix in ("js", "wasm")]
    return [core / "dist" / "index.js", helper, *wasm]


def _copy_runtime(packages: Path, folder: Path) -> None:
    """Copy what the page loads of LiteRT.js; its only import by a bare name becomes a path, as
    browsers need.
    """
    core, helper, *wasm = _runtime(packages)
    (folder / "wasm").mkdir(parents=True)
    (folder / "index.js").write_bytes(
        # Browsers resolve no package names.
        core.read_bytes().replace(b'"@litertjs/wasm-utils"', b'"./wasm-utils.js"')
    )
    shutil.copyfile(helper, folder / "wasm-utils.js")
    for path in wasm:
        shutil.copyfile(path, folder / "wasm" / path.name)


def server(folder: Path, port: int = 8000) -> ThreadingHTTPServer:
    """Return a server of the page, for this machine alone.

    It serves the files that are in the folder now, to requests that use its own address.

    Args:
        folder: the folder that `build` wrote.
        port: the port; 0 takes a free one.

    Returns:
        The server.

    Raises:
        OutputError: the port is taken.
    """
    return _server.server(folder, POLICY, port)
