"""Losses on a teacher's logits; one module for each loss, found by its name.

A module has `loss(labels, teacher_logits, student_logits, temperature, ...) -> float32 (N,)`.
Further parameters are settings with defaults.
"""
