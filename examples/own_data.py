"""From a folder of your own images to a scored .tflite file.

python examples/own_data.py
"""

import tempfile
from pathlib import Path

import shapes

from keras_kd import Config
from keras_kd.pipelines.distill import distill

with tempfile.TemporaryDirectory() as folder:
    photos = Path(folder, "photos")  # one folder a class; put yours here
    shapes.write(photos)
    options = {"student": "vgg9-slim", "teacher": "vgg8-half", "teacher_epochs": 1, "epochs": 1}
    config = Config(data=str(photos), image_size=32, batch_size=16, formats="float32", **options)
    results = distill(config, Path(folder, "run"))
    print("test accuracy", results["test"]["accuracy"])
    print("files", sorted(path.name for path in Path(folder, "run").iterdir()))
