"""Run .tflite files of three channels by MediaPipe's ImageClassifier; arguments as of tflite.py.

It reads the file's metadata and labels, and sorts the classes by their score.
"""

import zipfile

import rows
from mediapipe import Image, ImageFormat
from mediapipe.tasks.python import BaseOptions, vision


def compute(kind, model, save):
    """Run one file."""
    labels = zipfile.ZipFile(model).read("labels.txt").decode().splitlines()
    options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_path=model))
    with vision.ImageClassifier.create_from_options(options) as classifier:

        def run(pixels):
            found = classifier.classify(Image(image_format=ImageFormat.SRGB, data=pixels))
            scores = {one.category_name: one.score for one in found.classifications[0].categories}
            return [scores[label] for label in labels]

        save(run)


if __name__ == "__main__":
    rows.main(compute)
