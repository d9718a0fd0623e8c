"""What features are learnt by; one module a loss, found by its name.

A module has `loss(teacher_features, student_features) -> float32 (N,)`.
"""
