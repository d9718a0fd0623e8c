"""How good a model is: scores, metrics, calibration, class order, time and size."""
