"""Losses on feature maps; one module for each loss, found by its name.

A module has `loss(teacher_features, student_features) -> float32 (N,)`.
"""
