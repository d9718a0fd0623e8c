"""Which objects Python's collector of cycles walks during a conversion."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import keras
import pytest
from keras import layers

from keras_kd import exporters
from keras_kd._common.collector import known_objects_set_aside


@pytest.fixture(autouse=True, scope="module")
def nothing_set_aside() -> Iterator[None]:
    """As in a user's program: conftest.py sets aside what the tests imported."""
    gc.unfreeze()
    yield
    gc.collect()
    gc.freeze()


def test_objects_are_walked_again_after_the_block() -> None:
    with pytest.raises(RuntimeError), known_objects_set_aside():
        assert gc.get_freeze_count() > 0
        raise RuntimeError
    assert gc.get_freeze_count() == 0


def test_what_the_program_set_aside_stays_so() -> None:
    gc.freeze()
    before = gc.get_freeze_count()
    with known_objects_set_aside():
        pass
    # Some may die meanwhile; thawed, none would be left.
    assert gc.get_freeze_count() > 0.9 * before
    gc.unfreeze()


def test_cycles_that_the_block_leaves_are_freed_at_its_end() -> None:
    """Among all objects again, they would wait for a walk that a process may never reach."""

    class Cycle:
        itself: object

    gc.disable()
    try:
        with known_objects_set_aside():
            cycle = Cycle()
            cycle.itself = cycle
            freed = weakref.ref(cycle)
            del cycle
        assert freed() is None
    finally:
        gc.enable()


def test_the_converters_own_collections_walk_no_imported_module(tmp_path) -> None:
    """All objects of the imports take longer to walk than a small model to convert."""
    model = keras.Sequential([keras.Input((4, 4, 1)), layers.Flatten(), layers.Dense(2)])
    walked = []

    def collected(phase: str, info: dict[str, int]) -> None:
        if phase == "start" and info["generation"] == 2:
            walked.append(len(gc.get_objects(generation=2)))

    known = len(gc.get_objects())
    gc.callbacks.append(collected)
    exporters.export(model, tmp_path / "model.tflite", "float32")
    gc.callbacks.remove(collected)
    assert walked and max(walked) < known / 4
