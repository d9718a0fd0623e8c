"""Passes over the graph of a written `.tflite` file: the same model in another form."""
