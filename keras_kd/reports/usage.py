"""The section of a card on a model's use: code that runs it, its purpose, and its limits."""

from __future__ import annotations

from collections.abc import Sequence

from keras_kd._common.markdown import escaped
from keras_kd.datasets import class_names

_DATA_LIMITS = {
    "faces": (
        "The images are drawn. The scores show that training and export work; they say nothing"
        " about real faces."
    ),
    "fer2013": (
        "FER2013's labels are noisy: they equal the majority of FER+'s ten votes for 62.6 % of the"
        " images. 288 of its 3,589 PrivateTest images are exact copies of training images. It has"
        " no clear licence to redistribute its images."
    ),
}
_LIMITS = """\
Made for usability tests with people who were informed and agreed: to find the moments of \
a recording that are worth a look.

- A label is what others saw in a face, not what a person felt. \
Expressions differ with person, culture and situation.
- Not for decisions on people: hiring, grading, credit, insurance, policing, diagnosis.
- The EU AI Act (Regulation 2024/1689) forbids to infer emotions \
at work and in education other than for medical or
  safety reasons (Article 5(1)(f)), and asks to inform the people who are exposed (Article 50(3)).
- Accuracy by age, gender or skin tone was not measured. \
Check it on people like yours before you rely on it."""

_OTHER_LIMITS = """\
Made to distinguish {classes} in pictures like those of {data}.

- It names one of these classes for any picture, also for one that shows none of them.
- The scores hold for pictures like the test images: the same cameras, light, backgrounds and cut.
  Check it on pictures of your own before you rely on it.
- If the pictures show people, check it for each group of them, and which laws apply; \
neither was done here."""


def usage_snippet(
    file: str, input_shape: tuple[int, int, int], classes: bool, values: Sequence[str]
) -> str:
    """Return Python code that runs a .tflite model on `image.png` with LiteRT alone.

    Args:
        file: the file's name.
        input_shape: (height, width, channels).
        classes: whether the model has classes.
        values: names of its continuous values.

    Returns:
        Python code.
    """
    height, width, channels = input_shape
    mode = "RGB" if channels == 3 else "L"
    one_image = f"1, {height}, {width}, {channels}"
    reading = """\
names = open("labels.txt", encoding="utf-8").read().splitlines()
logits = next(output[0] for output in outputs.values() if output.shape[1] == len(names))
probabilities = np.exp(logits - logits.max())
probabilities /= probabilities.sum()
print(names[probabilities.argmax()], f"{probabilities.max():.0%}")
"""
    code = f"""\
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image, ImageOps

image = ImageOps.exif_transpose(Image.open("image.png"))  # upright, as the camera was held
image = image.convert("{mode}").resize(({width}, {height}), Image.BILINEAR)
model = Interpreter("{file}")
pixels = np.asarray(image, model.get_input_details()[0]["dtype"]).reshape({one_image})
outputs = model.get_signature_runner()(image=pixels)
{reading if classes else ""}"""
    return (
        code + "\n".join(f"print({name!r}, outputs[{name!r}].item())" for name in values)
    ).rstrip("\n")


def use_and_limits(data_name: str, names: Sequence[str]) -> list[str]:
    """Return the section on what a model can be used for, and what it can't.

    Args:
        data_name: name of its data set, e.g. "fer2013".
        names: names of its classes, which decide what is said of people and the law.

    Returns:
        Lines of Markdown.
    """
    title = "## Intended use and limits"
    if not class_names.are_expressions(names):
        listed = ", ".join(map(escaped, names))
        return [title, _OTHER_LIMITS.format(classes=listed, data=escaped(data_name))]
    of_data = [_DATA_LIMITS[data_name]] if data_name in _DATA_LIMITS else []
    return [title, *of_data, _LIMITS]
