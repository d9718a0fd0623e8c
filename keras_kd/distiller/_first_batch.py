"""What a data set's first batch shows, told after its step instead of at the epoch's end."""

from __future__ import annotations

import keras

from keras_kd.distiller._teacher import Teachers


class FirstBatch(keras.callbacks.Callback):
    """Refuses bad labels after the first step, where they were no arrays to check before, and warns
    of live teachers that the step asked.

    Args:
        live: the teachers, or None.
    """

    def __init__(self, live: Teachers | None) -> None:
        super().__init__()
        self._live, self._checked = live, False

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Look at what the first step of the fit recorded."""
        if self._checked:
            return
        if keras.backend.backend() == "jax":
            # JAX keeps the step's variables to itself until the epoch ends.
            self.model.jax_state_sync()
        self.model.faults.refuse()
        self.model.output_faults.refuse()
        if self._live is not None:
            self._live.warn_of_batch()
        self._checked = True
