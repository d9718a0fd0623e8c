"""A student of your own: any Keras model that ends in logits.

python examples/custom_student.py
"""

import keras
import numpy as np
import shapes
from keras import layers

import keras_kd

images, labels = shapes.drawn(64)
student = keras.Sequential(
    [
        keras.Input((32, 32, 1)),
        layers.Rescaling(1 / 255),
        layers.Conv2D(8, 3, strides=2, activation="relu"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(2),  # logits: no softmax
    ]
)
teacher_logits = np.eye(2, dtype="float32")[labels] * 4
distiller = keras_kd.Distiller(student)
distiller.compile(keras.optimizers.AdamW(0.01), metrics=["accuracy"])
distiller.fit(
    images, {"label": labels, "teacher": teacher_logits}, batch_size=16, epochs=1, verbose=0
)
print("parameters", student.count_params(), "answers", student.predict(images[:4], verbose=0).shape)
