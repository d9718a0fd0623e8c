"""Losses on a teacher's logits; one module for each loss, found by its name.

A module has `loss(labels, teacher, student, temperature, ...) -> float32 (N,)`, 0 or more. Labels
are int (N,) or shares (N, C); teacher and student are logits z and s, float (N, C); temperature is
T, above 0. Further parameters are settings with defaults.
"""
