"""Export of a model file for apps: converted or fine-tuned, checked, and scored."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pandas as pd

from keras_kd import exporters
from keras_kd._common import run_files, text
from keras_kd._common.files import write_text, written_whole
from keras_kd._common.progress import Terminal
from keras_kd.datasets import Samples
from keras_kd.datasets.pixel_values import PixelValues
from keras_kd.errors import of_file
from keras_kd.evaluation import calibration, class_order, scoring
from keras_kd.exporters import ExportReport, tuning
from keras_kd.models.spec import ModelSpec
from keras_kd.models.surgery.copies import of_size
from keras_kd.models.surgery.divided_logits import with_divided_logits
from keras_kd.models.untrained import is_untrained
from keras_kd.pipelines import bundling
from keras_kd.pipelines.apart_from_data import require_apart, require_outside
from keras_kd.pipelines.conversion import Conversion, loaded, samples_in_order
from keras_kd.pipelines.export_settings import ExportSettings, require_consistent, resolved, suffix
from keras_kd.reports.layer_errors_picture import layer_errors_picture
from keras_kd.runtimes import predictors, stored_spec
from keras_kd.runtimes.predictors import Predictor


def export(
    model: str | Path,
    settings: ExportSettings,
    out: Path | None = None,
    terminal: Terminal | None = None,
    command: str = "",
) -> dict[str, Any]:
    """Convert a model file; with data, calibrate it on training images and score it on test images.

    Args:
        model: a `.keras` or `.h5` file.
        settings: what to write.
        out: where to write; None for a name beside the model.
        terminal: where the user sees progress; None for nowhere.
        command: the command that the user typed, for a bundle's card.

    Returns:
        file, format, bytes and max_difference; with a target the proof; with data the scores of the
            test; by measuring the choice; for TUNED the attempts; with calibration the temperature.

    Raises:
        KerasKDError: see keras_kd.errors; nothing is written then.
    """
    terminal = terminal or Terminal(quiet=True)
    settings = resolved(settings)
    require_consistent(settings)
    source = Path(model)
    if settings.as_bundle:
        out = Path(out or source.with_suffix(""))
    _require_places(source, settings, out)
    built, spec = _opened(source, settings)
    train = samples_in_order(settings, "train", spec, terminal) if settings.data else None
    if settings.as_bundle and spec.class_names is None:
        spec = bundling.with_classes_of_data(spec, source, settings, built, train, terminal)
    temperature, description = None, ""
    if settings.calibrate:
        terminal.say(f"Finding the temperature of {source} on {settings.data}")
        with of_file(source):
            built, temperature, description = _calibrated(
                built, spec, settings, train, terminal, terminal.about(source)
            )
    conversion = Conversion(source, built, spec, settings, train, terminal)
    scored: dict[str, Any] = {}

    def scores(path: Path, name: str = "") -> dict[str, Any]:
        taken = _spec_of_file(spec, settings)
        told = stored_spec.of_model(path) or taken
        file = predictors.LiteRTPredictor(path, told, settings.stated.head)
        # Its graph does not show it.
        file.is_untrained = is_untrained(built)
        scored.update(_scores(file, settings, taken, terminal, name or path.name))
        return scored

    if settings.as_bundle:
        made = bundling.write(conversion, out, description, command, scores)
    else:
        made = _written(conversion, _place(source, settings, out, terminal), scores)
    if settings.layer_errors is not None:
        _write_layer_errors(made, settings.layer_errors)
    result = _reported(made, temperature, conversion.attempts)
    if settings.data and made.path.suffix == ".tflite":
        result["test"] = scored
    return result


def _require_places(source: Path, settings: ExportSettings, out: Path | None) -> None:
    """Refuse to write over a run, the model or the data, and a name that the format can't have."""
    if settings.as_bundle:
        run_files.refuse_run(out)
    elif out:
        exporters.require_path(settings.format, suffix(settings.format), Path(out))
    if settings.as_bundle and settings.data:
        require_outside(out, settings.data, mixes=True)
    table = settings.layer_errors
    written = [None if settings.as_bundle else out, table, table and table.with_suffix(".png")]
    names = () if suffix(settings.format) else exporters.find(settings.format).NAMES
    require_apart(written, [source], settings.data, names)


def _place(source: Path, settings: ExportSettings, out: Path | None, terminal: Terminal) -> Path:
    """Where the file goes: as asked, or beside the model."""
    name = f"{source.stem}_{settings.format}{suffix(settings.format)}"
    place = Path(out or source.with_name(name))
    if run_files.is_exported_by_run(place):
        terminal.say(
            f"{place} will be replaced: {run_files.CARD} of that run has the scores of the"
            " file before it, which another --out would keep."
        )
    return place


def _written(
    conversion: Conversion, place: Path, scores: Callable[[Path, str], dict[str, Any]]
) -> ExportReport:
    """Write the file; one that is to be scored has its name only when it is."""
    if not conversion.settings.data or place.suffix != ".tflite":
        return conversion.write(place)
    with written_whole(place) as temporary:
        made = conversion.write(temporary)
        scores(temporary, place.name)
    return dataclasses.replace(made, path=place)


def _opened(source: Path, settings: ExportSettings) -> tuple[keras.Model, ModelSpec]:
    """The model, and its specification by its file and the user."""
    built, spec = predictors.of_keras_file(source, settings.stated)
    if settings.stated.input_shape:
        with of_file(source):
            built = of_size(built, settings.stated.input_shape)
    return built, spec


def _reported(
    made: ExportReport, temperature: float | None, tried: list[tuning.Attempt]
) -> dict[str, Any]:
    """What `export` returns, without the scores."""
    result: dict[str, Any] = {
        "file": str(made.path),
        "format": made.format,
        "bytes": made.bytes,
        "max_difference": made.max_difference,
    }
    if made.answers is not None:
        result["answers"] = dataclasses.asdict(made.answers)
    if made.worst_layer is not None:
        result["worst_layer"] = dataclasses.asdict(made.worst_layer)
    if made.proof:
        result["proof"] = list(made.proof)
    if made.choice:
        result["choice"] = {**dataclasses.asdict(made.choice), "said": str(made.choice)}
    if temperature:
        result["temperature"] = temperature
    if tried:
        result["tried"] = [dataclasses.asdict(attempt) for attempt in tried]
    return result


def _write_layer_errors(made: ExportReport, path: Path) -> None:
    """Write what rounding adds in each operator as a table, and as a picture beside it."""
    rows = [(one.layer, one.operator, one.error) for one in made.layer_errors]
    frame = pd.DataFrame(rows, columns=["layer", "operator", "error"])
    write_text(path, text.csv(frame))
    title = f"What rounding to {made.format} adds, each operator of {made.path.name}"
    layer_errors_picture(path.with_suffix(".png"), frame, title)


def _spec_of_file(spec: ModelSpec, settings: ExportSettings) -> ModelSpec:
    """What the file takes: pixels 0..255 where the range is inside of it."""
    return dataclasses.replace(spec, pixels=PixelValues()) if settings.io == "app" else spec


def _calibrated(
    model: keras.Model,
    spec: ModelSpec,
    settings: ExportSettings,
    train: Samples,
    terminal: Terminal,
    tell: Callable[[str], None],
) -> tuple[keras.Model, float, str]:
    """The model with honest probabilities, its temperature, and a sentence for its card."""
    validation = loaded(settings, "validation", spec.size, terminal)
    predictor = predictors.KerasPredictor(model, spec, head=settings.stated.head)
    if spec.class_names is None and predictor.tells_classes:
        class_order.assume_order_of_data(predictor, train, tell)
    temperature = calibration.fitted_temperature(predictor, validation)
    description = calibration.statement(temperature, len(validation))
    return with_divided_logits(model, temperature), temperature, description


def _scores(
    file: Predictor, settings: ExportSettings, spec: ModelSpec, terminal: Terminal, name: str
) -> dict[str, Any]:
    """Score the file on the test images, in the data's order of classes."""
    test = loaded(settings, "test", file.spec.size, terminal)
    terminal.say(f"Scoring {name} on {len(test)} images")
    file = class_order.in_order_of_data(file, test, spec.class_names, terminal.about(name))
    if file.tells_classes:
        test = test.among(file.spec.class_names)
    found = scoring.scored(file.predict(test.images), test)
    if len(found) == 1:
        terminal.say(scoring.unscored(name, file.values, settings.data or "", test))
    return found
