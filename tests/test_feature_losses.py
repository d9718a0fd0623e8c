"""The losses of feature maps against NumPy."""

from __future__ import annotations

import numpy as np

from keras_kd import losses


def test_hint_is_the_mean_squared_difference():
    random = np.random.default_rng(5)
    teacher, student = random.normal(size=(2, 3, 4, 5, 2)).astype(np.float32)
    np.testing.assert_allclose(
        losses.hint_each(teacher, student), ((teacher - student) ** 2).mean((1, 2, 3)), rtol=1e-5
    )
    # A teacher's map of twice the size, each value four times, is the same map.
    twice = teacher.repeat(2, 1).repeat(2, 2)
    constant = np.ones_like(teacher)
    np.testing.assert_allclose(losses.hint_each(np.ones_like(twice), 3 * constant), 4, rtol=1e-5)
    assert losses.hint_each(twice, student).shape == (3,)


def test_attention_compares_where_the_energy_is():
    random = np.random.default_rng(6)
    teacher, student = random.normal(size=(3, 4, 4, 6)), random.normal(size=(3, 4, 4, 2))
    maps = [(of**2).sum(-1).reshape(3, -1) for of in (teacher, student)]
    unit = [of / np.linalg.norm(of, axis=-1, keepdims=True) for of in maps]
    expected = ((unit[0] - unit[1]) ** 2).sum(-1)
    found = losses.attention_each(teacher.astype(np.float32), student.astype(np.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    # Neither scale nor number of channels counts.
    tripled = np.concatenate([5 * student] * 3, -1).astype(np.float32)
    np.testing.assert_allclose(
        losses.attention_each(tripled, student.astype(np.float32)), 0, atol=1e-6
    )
