"""What the teacher's logits are learnt by; one module a loss, found by its name.

A module has `loss(labels, teacher_logits, student_logits, temperature, ...) -> float32 (N,)`, whose
further parameters are settings with defaults.
"""
