"""Faults of a data set's first batch, told after its step instead of at the epoch's end."""

from __future__ import annotations

import keras


class FirstBatch(keras.callbacks.Callback):
    """Refuses bad labels after the first step, where they were no arrays to check before."""

    def __init__(self) -> None:
        super().__init__()
        self._checked = False

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Look at what the first step of the fit recorded."""
        if self._checked:
            return
        if keras.backend.backend() == "jax":
            # JAX keeps the step's variables to itself until the epoch ends.
            self.model.jax_state_sync()
        self.model.faults.refuse()
        self.model.output_faults.refuse()
        self._checked = True
