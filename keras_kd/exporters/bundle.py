"""The folder for an app: model, labels, preprocessing, and one worked example."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import io
import json
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from keras_kd._common.files import locked, written_whole
from keras_kd._common.text import encodable
from keras_kd.datasets import Samples
from keras_kd.datasets.class_names import LABELS_FILE
from keras_kd.datasets.images import fitted
from keras_kd.datasets.pixel_values import PixelStatement, PixelValues, pixel_values
from keras_kd.errors import ConfigError, DataError, ModelError
from keras_kd.exporters import ExportReport, _bundle_files, export
from keras_kd.exporters._bundle_card import bundle_card
from keras_kd.exporters._metadata import with_metadata
from keras_kd.models import bundles
from keras_kd.models.bundles import MODEL_FILE as MODEL_FILE
from keras_kd.runtimes import operator_support
from keras_kd.runtimes.kernels import measured_tolerance
from keras_kd.runtimes.litert import LiteRTModel, note_made

if TYPE_CHECKING:
    import keras

    from keras_kd.models.output_kinds import OutputKind

CARD_FILE, PREPROCESSING_FILE = "README.md", "preprocess.json"
EXAMPLE_IMAGE, EXAMPLE_FILE = "example.png", "example.json"
_FILES = (MODEL_FILE, CARD_FILE, PREPROCESSING_FILE, LABELS_FILE, EXAMPLE_IMAGE, EXAMPLE_FILE)
SHIPPED = Path(__file__).parents[2] / "exports" / "B"  # in a checkout
# https://semver.org, without what may follow three numbers.
_VERSION = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}")
FIRST_VERSION = "1.0.0"


def model_file(model: str | Path | None) -> Path:
    """Return the model file of a bundle.

    Args:
        model: a bundle's folder, or a model file, which is returned as it is; None for the shipped
            model.

    Returns:
        The path of the file.

    Raises:
        ModelError: `model` is None, and there is no shipped model.
    """
    path = bundles.model_file(SHIPPED if model is None else model)
    if model is None and not path.is_file():
        raise ModelError(
            "Name a model: a bundle's folder, a .tflite or a .keras file; a checkout ships"
            " exports/B."
        )
    return path


def files_of(model: Path) -> list[Path]:
    """Return a model file, and where it lies in a bundle the bundle's other files.

    Args:
        model: the model file.

    Returns:
        The paths.
    """
    return [model.parent / name for name in _FILES] if model.name == MODEL_FILE else [model]


def export_bundle(
    model: keras.Model,
    folder: str | Path,
    class_names: Sequence[str],
    samples: Samples | np.ndarray | None,
    example: np.ndarray,
    format: str | None = None,
    app_input: tuple[int, int, int] | None = None,
    name: str = "",
    description: str = "",
    value_range: PixelStatement | None = None,
    version: str = FIRST_VERSION,
    target: str | None = None,
    measure: bool = False,
    output: OutputKind | None = None,
) -> ExportReport:
    """Export and write the bundle's other files; see `write`.

    Args:
        model: as for `export`.
        folder: the folder to write; it is created if missing.
        class_names: the labels, in the order of the outputs.
        samples: training images, as for `export`.
        example: uint8 (H, W, 1 or 3), an image that may be published; it is converted to
            what the file takes.
        format: a `.tflite` format of `exporters.names()`; None for the target's.
        app_input: as for `export`.
        name: name in the metadata; the model's own name if empty.
        description: description in the metadata.
        value_range: as for `export`.
        version: of the model, as 1.2.3.
        target: as for `export`; None for a file of io="app".
        measure: as for `export`.
        output: as for `export`.

    Returns:
        The report.

    Raises:
        ConfigError: the version is none.
        DataError: the example is not a uint8 image.
        ExportError: as `export`.
        OutputError: as `export`.
    """
    class_names = tuple(class_names)

    def converted(path: Path) -> ExportReport:
        io = None if target else "app"
        return export(
            model, path, format, samples, io, class_names, app_input, value_range,
            target=target, measure=measure, output=output,
        )  # fmt: skip

    taken = None if value_range is None else pixel_values(value_range)
    return write(
        model, folder, class_names, example, converted, name, description, taken, version=version,
        output=output,
    )  # fmt: skip


def write(
    model: keras.Model,
    folder: str | Path,
    class_names: tuple[str, ...],
    example: np.ndarray,
    converted: Callable[[Path], ExportReport],
    name: str = "",
    description: str = "",
    taken: PixelValues | None = None,
    scores: Callable[[Path], Mapping[str, Any]] | None = None,
    sections: Sequence[str] = (),
    version: str = FIRST_VERSION,
    facts: Sequence[str] = (),
    output: OutputKind | None = None,
) -> ExportReport:
    """Write the bundle of a model that is converted by a given function.

    The folder gets `model.tflite` (with TFLite metadata and labels inside), `labels.txt`,
    `preprocess.json`, `example.png`, `example.json` (the file's probabilities for it) and a model
    card `README.md`. Other files in the folder are kept. MediaPipe's ImageClassifier takes the file
    if it takes 3 channels.

    Args:
        model: the model that is converted.
        folder: as for `export_bundle`.
        class_names: as for `export_bundle`.
        example: as for `export_bundle`.
        converted: a function that writes the `.tflite` to a path.
        name: as for `export_bundle`.
        description: as for `export_bundle`.
        taken: the pixel values that the model takes inside the file; None if nobody states them.
        scores: a function that returns `metrics.classification` of the file at a path, for the
            card.
        sections: paragraphs of Markdown at the end of the card.
        version: of the model, as 1.2.3, for the file's metadata and the card.
        facts: lines of the card, in Markdown.
        output: as for `export`.

    Returns:
        The report of `converted`.

    Raises:
        ConfigError: the version is none.
        DataError: the example is not a uint8 image.
        OutputError: the folder can't be written, or another process writes there.
    """
    require_version(version)
    _require_image(example)
    from keras_kd.exporters import _model

    model = _model.graph_of(model)
    folder, name = Path(folder), name or model.name
    with locked(folder):
        # Converted and scored elsewhere, so that a failure leaves an older bundle whole.
        with tempfile.TemporaryDirectory() as temporary:
            path = Path(temporary) / MODEL_FILE
            report = converted(path)
            file = LiteRTModel(path, trusted=True)
            # The pixel values that the app has to feed.
            outside = PixelValues() if file.input_dtype == np.uint8 else taken or PixelValues()
            content = _with_metadata(path, name, description, class_names, version, outside)
            path.write_bytes(content)
            pixels = fitted(example[None], file.input_shape)
            given = file.as_input(outside.of(pixels))
            outputs = file.predict_heads(outside.of(pixels))
            _, tolerance = measured_tolerance(path, given)
            note_made(path)
            measured = scores(path) if scores else None
            # Metadata and labels have made the file longer.
            report = dataclasses.replace(report, path=folder / MODEL_FILE, bytes=len(content))
            facts = [
                f"- Version {version}, made on {datetime.date.today():%d %B %Y}.",
                *_facts_of_file(path, report, tolerance, facts),
            ]
        preprocess = _bundle_files.preprocess(model, file, outputs, taken, outside, output)
        card = bundle_card(name, description, report, preprocess, class_names, measured, facts)
        contents = {
            MODEL_FILE: content,
            LABELS_FILE: _encoded("\n".join(class_names) + "\n"),
            PREPROCESSING_FILE: _json(preprocess),
            EXAMPLE_IMAGE: _png(pixels[0]),
            EXAMPLE_FILE: _json(_bundle_files.example(outputs, class_names, tolerance)),
            CARD_FILE: _encoded("\n".join([card, *(f"{section}\n" for section in sections)])),
        }
        with ExitStack() as stack:
            # All take their places once each is written: a full disk leaves an older bundle whole.
            for file_name, each in contents.items():
                stack.enter_context(written_whole(folder / file_name)).write_bytes(each)
    return report


def _require_image(example: np.ndarray) -> None:
    if example.dtype != np.uint8 or example.ndim != 3 or example.shape[2] not in (1, 3):
        raise DataError(
            f"The example must be uint8 (H, W, 1 or 3). Received: {example.dtype} {example.shape}."
        )


def _with_metadata(
    path: Path,
    name: str,
    description: str,
    class_names: tuple[str, ...],
    version: str,
    pixels: PixelValues,
) -> bytes:
    """The content of a `.tflite` file with metadata and labels, and the oldest runtime in them."""
    oldest = operator_support.oldest_tensorflow_lite(path)
    known = "" if oldest == operator_support.UNKNOWN else oldest
    return with_metadata(path.read_bytes(), name, description, class_names, version, pixels, known)


def _png(image: np.ndarray) -> bytes:
    """The file of a picture, uint8 (H, W, 1 or 3)."""
    file = io.BytesIO()
    Image.fromarray(image if image.shape[2] == 3 else image[:, :, 0]).save(file, "PNG")
    return file.getvalue()


def _facts_of_file(
    path: Path, report: ExportReport, tolerance: float, others: Sequence[str]
) -> list[str]:
    """Lines of the card on the written file, the caller's `others` among them."""
    return [
        f"- SHA-256 of `{path.name}`: `{hashlib.sha256(path.read_bytes()).hexdigest()}`.",
        f"- Runs right on: {minimum_runtimes(path)}.",
        *(f"- Checked: {fact}." for fact in report.proof),
        *([f"- Measured: {report.choice}."] if report.choice else []),
        *others,
        (
            f"- Check your app: for `{EXAMPLE_IMAGE}` it must give the probabilities of"
            f" `{EXAMPLE_FILE}`, ± {tolerance:g}: twice what LiteRT's kernels differ by here,"
            " and a step for those of other processors."
        ),
    ]


def require_version(version: str) -> None:
    """Check a model's version.

    Args:
        version: three numbers, as 1.2.3.

    Raises:
        ConfigError: it is none.
    """
    if not _VERSION.fullmatch(version):
        raise ConfigError(
            "The model's version must be three numbers, as 1.2.3 (https://semver.org). Received:"
            f" {version}."
        )


def minimum_runtimes(path: Path) -> str:
    """Return the oldest runtimes on which a `.tflite` file is known to be right.

    Args:
        path: the file.

    Returns:
        A phrase.
    """
    oldest = operator_support.oldest_tensorflow_lite(path)
    known = f"LiteRT 1.0 and TensorFlow Lite {oldest} or later"
    if oldest == operator_support.UNKNOWN:
        known = "no release that is known here: TensorFlow's list of versions lacks its operators"
    if wrong := operator_support.against(path, operator_support.wrong_on_gpus):
        names = ", ".join(sorted({f"{one.name} ({why})" for one, why in wrong}))
        known += f"; not right on LiteRT's GPUs, WebGPU among them: {names}"
    return known


def _json(content: dict) -> bytes:
    return _encoded(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _encoded(text: str) -> bytes:
    return encodable(text).encode()
