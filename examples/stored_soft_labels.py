"""The teacher runs once; its logits are then stored and given with the labels.

python examples/stored_soft_labels.py
"""

import keras
import shapes

import keras_kd

images, labels = shapes.drawn(64)
teacher = keras_kd.models.build("vgg8", num_classes=2, input_shape=(32, 32, 1), seed=0)
logits = teacher.predict(images, verbose=0)

student = keras_kd.models.build("C", num_classes=2, input_shape=(32, 32, 1), seed=1)
distiller = keras_kd.Distiller(student, temperature=3.0, alpha=0.15)
distiller.compile(keras.optimizers.SGD(0.01, 0.9), metrics=["accuracy"])
y = {"label": labels, "teacher": logits}
history = distiller.fit(images, y, batch_size=16, epochs=1, verbose=0).history
print({name: round(values[-1], 3) for name, values in history.items()})
