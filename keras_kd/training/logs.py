"""Metrics of each epoch as TensorBoard's event files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def logger(folder: str | None, title: str) -> Callable[[dict[str, float]], None]:
    """Return a function that writes rows of the history as event files.

    Args:
        folder: the parent folder; None to write nothing.
        title: name of the folder for this training.

    Returns:
        A function of one row.
    """
    if folder is None:
        return lambda row: None
    import tensorflow as tf
    from tensorflow.core.framework import summary_pb2

    # As tf.summary.scalar writes it, which needs the package tensorboard.
    plugin = summary_pb2.SummaryMetadata.PluginData(plugin_name="scalars")
    scalar = summary_pb2.SummaryMetadata(
        plugin_data=plugin, data_class=summary_pb2.DATA_CLASS_SCALAR
    )
    writer = tf.summary.create_file_writer(str(Path(folder) / title.replace(" ", "-")))

    def write(row: dict[str, float]) -> None:
        with writer.as_default(step=int(row["epoch"])):
            for name in row.keys() - {"epoch"}:
                tf.summary.write(name, tf.constant(row[name], tf.float32), metadata=scalar)
        writer.flush()

    return write
