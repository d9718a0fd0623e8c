"""Run a .tflite file of three channels by MediaPipe's ImageClassifier; arguments as of tflite.py.

It reads the file's metadata and labels, and sorts the classes by their score.
"""

import sys
import time
import zipfile

import numpy as np
from mediapipe import Image, ImageFormat
from mediapipe.tasks.python import BaseOptions, vision


def main(kind, model, images, outputs, seconds):
    labels = zipfile.ZipFile(model).read("labels.txt").decode().splitlines()
    options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_path=model))
    begun, rows = time.perf_counter(), []
    with vision.ImageClassifier.create_from_options(options) as classifier:
        for pixels in np.load(images):
            found = classifier.classify(Image(image_format=ImageFormat.SRGB, data=pixels))
            scores = {one.category_name: one.score for one in found.classifications[0].categories}
            rows.append([scores[label] for label in labels])
            if time.perf_counter() - begun > float(seconds):
                break
    np.save(outputs, np.array(rows, np.float32))


if __name__ == "__main__":
    main(*sys.argv[1:])
