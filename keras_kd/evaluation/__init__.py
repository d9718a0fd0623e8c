"""Evaluation of models: scores, metrics, calibration, class order, time and size."""
