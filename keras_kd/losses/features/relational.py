"""Relational knowledge distillation (Park et al. 2019)."""

from __future__ import annotations

from keras_kd.losses.relations import relational_each

loss = relational_each
