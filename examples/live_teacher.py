"""A student that learns from a teacher which runs in every step.

python examples/live_teacher.py
"""

import keras
import shapes

import keras_kd

images, labels = shapes.drawn(64)
teacher = keras_kd.models.build("vgg8-half", num_classes=2, input_shape=(32, 32, 1), seed=0)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
teacher.compile("adam", loss)
teacher.fit(images, labels, batch_size=16, epochs=1, verbose=0)

student = keras_kd.models.build("vgg9-slim", num_classes=2, input_shape=(32, 32, 1), seed=1)
distiller = keras_kd.Distiller(student, teacher, temperature=3.0, alpha=0.15)
distiller.compile("adam", metrics=["accuracy"])
history = distiller.fit(images, labels, batch_size=16, epochs=1, verbose=0).history
print({name: round(values[-1], 3) for name, values in history.items()})
