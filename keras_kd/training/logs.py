"""Metrics of each epoch for TensorBoard and MLflow."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from keras_kd._common.files import write_text
from keras_kd._common.text import plain_reason
from keras_kd._common.vocabulary import MLFLOW, TENSORBOARD
from keras_kd.errors import ConfigError, OutputError

Write = Callable[[dict[str, float]], None]
# MLflow's own variable names another experiment.
EXPERIMENT = "keras_kd"


@contextmanager
def logged(
    targets: Sequence[str], title: str, settings: Mapping[str, Any], folder: Path
) -> Iterator[Write]:
    """Yield a function that writes rows of the history to all targets.

    Args:
        targets: "tensorboard:DIR" or "mlflow:URI", any number of them.
        title: name of this training.
        settings: what MLflow shows as the run's parameters.
        folder: of the training's state; it remembers the run of MLflow, so that a training that
            is resumed goes on in the same run.

    Yields:
        The function, which takes one row.

    Raises:
        ConfigError: MLflow isn't installed.
        OutputError: a logger can't write, or MLflow's server can't be reached or doesn't know the
            run that is resumed.
    """
    with ExitStack() as stack:
        writers: list[Write] = []
        for target in targets:
            if target.startswith(TENSORBOARD):
                writers.append(_tensorboard(Path(target.removeprefix(TENSORBOARD)), title))
            else:
                run = _mlflow(target.removeprefix(MLFLOW), title, settings, folder)
                writers.append(stack.enter_context(run))

        def write(row: dict[str, float]) -> None:
            for one in writers:
                one(row)

        yield write


def _tensorboard(folder: Path, title: str) -> Write:
    import tensorflow as tf
    from tensorflow.core.framework import summary_pb2

    # As tf.summary.scalar writes it, which needs the package tensorboard.
    plugin = summary_pb2.SummaryMetadata.PluginData(plugin_name="scalars")
    scalar = summary_pb2.SummaryMetadata(
        plugin_data=plugin, data_class=summary_pb2.DATA_CLASS_SCALAR
    )
    with _refusals("TensorBoard", str(folder), tf.errors.OpError, "check the folder"):
        writer = tf.summary.create_file_writer(str(folder / title.replace(" ", "-")))

    def write(row: dict[str, float]) -> None:
        with (
            _refusals("TensorBoard", str(folder), tf.errors.OpError, "check the folder"),
            writer.as_default(step=int(row["epoch"])),
        ):
            for name in row.keys() - {"epoch"}:
                tf.summary.write(name, tf.constant(row[name], tf.float32), metadata=scalar)
            writer.flush()

    return write


@contextmanager
def _refusals(logger: str, place: str, kind: type[Exception], advice: str) -> Iterator[None]:
    """Turn errors of a logger's own kind, and those of files, into one sentence."""
    try:
        yield
    except (kind, OSError) as error:
        reason = " ".join(plain_reason(error).split())
        raise OutputError(
            f"{logger} can't write to {place} ({reason}): {advice}, and --resume, or leave --log"
            " out."
        ) from error


@contextmanager
def _mlflow(uri: str, title: str, settings: Mapping[str, Any], folder: Path) -> Iterator[Write]:
    # MLflow reports its use to its makers unless this is set before it is imported.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        from mlflow.entities import Metric
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient
    except ImportError as error:
        raise ConfigError("log=mlflow:URI needs MLflow: pip install mlflow.") from error

    advice = "start its server or mend the URI"
    refusals = functools.partial(_refusals, "MLflow", uri, MlflowException, advice)
    with refusals():
        client = MlflowClient(tracking_uri=uri)
        run = _begun(client, uri, title, settings, folder / "mlflow-run.txt")

    def write(row: dict[str, float]) -> None:
        now, step = round(time.time() * 1000), int(row["epoch"])
        found = [Metric(k, float(v), now, step) for k, v in row.items() if k != "epoch"]
        with refusals():
            client.log_batch(run, metrics=found)

    try:
        yield write
    except BaseException as error:
        # A server that is gone must not hide what ended the training.
        with suppress(MlflowException, OSError):
            client.set_terminated(
                run, "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"
            )
        raise
    with refusals():
        client.set_terminated(run, "FINISHED")


def _begun(client: Any, uri: str, title: str, settings: Mapping[str, Any], known: Path) -> str:
    """The run that a training goes on in, which a file remembers; a new one without it."""
    from mlflow.entities import Param

    if known.is_file():
        run = known.read_text(encoding="utf-8")
        _require_run(client, run, uri, known)
        client.update_run(run, status="RUNNING")
        return run
    run = client.create_run(_experiment(client), run_name=title).info.run_id
    client.log_batch(run, params=[Param(k, str(v)) for k, v in settings.items()])
    write_text(known, run)
    return run


def _require_run(client: Any, run: str, uri: str, known: Path) -> None:
    """Refuse a server that doesn't know the run that this training goes on in."""
    from mlflow.exceptions import MlflowException

    try:
        client.get_run(run)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise OutputError(
            f"MLflow at {uri} doesn't know the run {run} that this training began: give the --log"
            f" that it began with, or delete {known} for a new run."
        ) from error


def _experiment(client: Any) -> str:
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
    found = client.get_experiment_by_name(name)
    return found.experiment_id if found else client.create_experiment(name)
