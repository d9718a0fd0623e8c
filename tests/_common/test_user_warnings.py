"""Warnings name the line of the user's program, and not one of the library's."""

from __future__ import annotations

import ast
import functools
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_kd
from keras_kd._common.user_warnings import warn
from keras_kd.models.spec import ModelSpec
from keras_kd.runtimes import labels

TOLD = re.compile("resized for the teacher|not logits|is passed over")
IMAGES, LABELS = np.zeros((4, 4, 4, 1), np.float32), np.arange(4) % 3


def _net(size: int, head: str | None = None) -> keras.Model:
    parts = [layers.GlobalAveragePooling2D(), layers.Dense(3, head)]
    return keras.Sequential([keras.Input((size, size, 1)), *parts])


def _fit(data: object, **options: object) -> None:
    """Its teacher's images are resized, and its stored outputs are no logits."""
    distiller = keras_kd.Distiller(_net(4), _net(9))
    distiller.compile("sgd")
    distiller.fit(data, verbose=0, **options)


def _a_softmax_teacher(folder: Path) -> None:
    keras_kd.Distiller(_net(4), _net(4, "softmax"))


def _a_file_that_is_passed_over(folder: Path) -> None:
    (folder / "labels.json").write_text("[[1]]")
    labels.with_labels(ModelSpec(), folder / "model.keras", None)


ISSUING = {
    "arrays": lambda folder: _fit(IMAGES, y=LABELS),
    "a data set": lambda folder: _fit(tf.data.Dataset.from_tensors((IMAGES, LABELS))),
    "a softmax": _a_softmax_teacher,
    "a file": _a_file_that_is_passed_over,
}


@pytest.mark.parametrize("name", ISSUING)
def test_a_warning_names_the_users_line(name: str, tmp_path: Path) -> None:
    with pytest.warns(UserWarning) as caught:
        ISSUING[name](tmp_path)
    told = [one for one in caught if TOLD.search(str(one.message))]
    assert len(told) == len({str(one.message) for one in told}) > 0
    assert {one.filename for one in told} == {__file__}


def _in_a_thread(call: Callable[[], None]) -> None:
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()


def _in_a_pool(call: Callable[[], None]) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(call).result()


def _in_an_older_pool(call: Callable[[], None]) -> None:
    with ThreadPool(1) as pool:
        pool.apply(call)


@pytest.mark.parametrize("way", [_in_a_thread, _in_a_pool, _in_an_older_pool])
def test_a_warning_in_a_thread_names_the_users_line_or_none(
    way: Callable[[Callable[[], None]], None],
) -> None:
    """It named threading.py."""
    with pytest.warns(UserWarning) as caught:
        way(functools.partial(warn, "of the library's own thread"))
        way(lambda: warn("of the user's thread"))
    assert caught[0].filename in ("sys", "<sys>")
    assert caught[1].filename == __file__


def test_one_function_issues_all_warnings() -> None:
    root = Path(__file__).parents[2]
    files = [*(root / "keras_kd").rglob("*.py"), *(root / "cli").glob("*.py")]
    issuing = {
        file.name
        for file in files
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "warnings.warn"
    }
    assert issuing == {"user_warnings.py"}
