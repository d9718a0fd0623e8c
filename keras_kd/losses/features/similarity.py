"""Similarity-preserving knowledge distillation (Tung and Mori 2019)."""

from __future__ import annotations

from keras_kd.losses.relations import similarity_each

loss = similarity_each
