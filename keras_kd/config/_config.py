"""Every option once: its type, default, help and check."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from dataclasses import dataclass
from typing import Any

from keras_kd import losses
from keras_kd._common.vocabulary import CHANGES, FACE_MIRROR, MIXTURES
from keras_kd.config._options import (
    AUGMENTATION,
    BELOW_ONE,
    NOT_NEGATIVE,
    POSITIVE,
    SHARE,
    SOFT_LOSS,
    option,
    require,
)
from keras_kd.config._text import dump as dump
from keras_kd.config._text import numbers as numbers
from keras_kd.config.recipes import ADAMW, RECIPES
from keras_kd.errors import ConfigError

PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")
TENSORBOARD = "tensorboard:"
# Between the values of an option that may be given several times.
SEPARATOR = ";"


@dataclass(frozen=True)
class Config:
    """All options of a run. None means: as the recipe has it, or as the data or the file tells.

    Raises:
        ConfigError: a value of the wrong type or out of its range; the message names the option and
            what is allowed.
    """

    data: str = option(
        "faces",
        "Data set: a file or folder whose form is recognised, NAME:PATH, or `faces` (drawn).",
    )
    image_size: int | None = option(
        None,
        "Height and width of the images in pixels; if not given, 48 with the recipe quick, or else the"
        " data set's own, mostly 64.",
        POSITIVE,
    )
    skip_bad_rows: bool = option(
        False, "Leave out unreadable rows and list them, instead of stopping."
    )
    student: str = option(
        "B",
        "Student: an architecture of `kerakd models`; keras:NAME of keras.applications; a .keras"
        " file, whose layers get new weights and a new head; or package.module:function or"
        " file.py:function that returns a Keras model, whose code is run because you name it.",
        runs_code=True,
    )
    teacher: str | None = option(
        None,
        "Teacher: a model file that teaches as it is, or what --student takes, to train first on"
        " the same data (kept in the cache); several are averaged; if not given, vgg8"
        " (vgg8-half with the recipe quick), or none where --soft-labels has the logits.",
        several=True,
        runs_code=True,
    )
    keep_weights: bool = option(
        False,
        "Start with what the .keras file learnt that is trained, the student's or, with `teach`,"
        " the teacher's; its head is new unless its classes are the data's.",
    )
    teacher_mirror: bool = option(
        False, "Average the teacher's answers over each image and its mirror image."
    )
    teacher_input: str | None = option(
        None,
        "HEIGHTxWIDTHxCHANNELS that a teacher file takes, if it doesn't tell; FILE=HxWxC for one of"
        " several, as with the next ones.",
        several=True,
    )
    teacher_range: str | None = option(
        None, "LOW,HIGH that a teacher file expects for pixels 0 and 255.", several=True
    )
    teacher_mean: str | None = option(
        None,
        "Mean of each channel that a teacher file subtracts from its range, in its own order.",
        several=True,
    )
    teacher_std: str | None = option(
        None, "Standard deviation of each channel that a teacher file divides by.", several=True
    )
    teacher_channel_order: str | None = option(
        None, "rgb or bgr: a teacher file's channels.", several=True
    )
    teacher_output: str | None = option(
        None, "What a teacher file gives: logits or probabilities.", several=True
    )
    teacher_classes: str | None = option(
        None, "A,B,C: class names of a teacher file's outputs, in order.", several=True
    )
    teacher_head: str | None = option(
        None, "The output of classes to learn from, of a teacher file with several.", several=True
    )
    unlabeled: str | None = option(
        None,
        "Folder of pictures without labels, at any depth: the teacher labels them, and the student"
        " learns from them beside the labelled ones; those that equal or nearly equal validation"
        " or test pictures are left out. May be given several times.",
        several=True,
    )
    unlabeled_share: float = option(
        0.5, "Share of each batch that is --unlabeled.", (lambda value: 0 < value < 1, "in 0..1")
    )
    votes: str | None = option(
        None,
        "FER+'s csv of people's votes on FER2013's images: the votes teach the classes, instead of"
        " a model.",
    )
    temperature: float = option(
        losses.TEMPERATURE, "T: softens teacher and student alike.", POSITIVE, flag="temp"
    )
    alpha: float = option(losses.ALPHA, "α: weight of the true labels.", SHARE)
    beta: float | None = option(
        None,
        "β: weight of the teacher's soft labels; 1-α if not given; 0: no teacher at all.",
        NOT_NEGATIVE,
    )
    pretrained: str | None = option(
        None,
        "Start from the weights that Keras offers (mobilenetv2, keras:NAME): the teacher with"
        " `teach`, the student with `distill`.",
        choices=("imagenet",),
    )
    start_from: str | None = option(
        None,
        "Fine-tune a .keras file: its body is kept, its head is new unless its classes are the "
        "data's. The teacher's start with `teach`, the student's with `distill`.",
    )
    freeze_until: str | None = option(
        None, "With --start-from: the layers up to this one, by name, don't learn."
    )
    heads: str | None = option(
        None,
        "A,B: what to learn of the data, its classes and continuous values by name, e.g."
        " expression,valence,arousal; the classes, and what values the teacher gives, if not"
        " given.",
    )
    soft_loss: str = option(
        "kl",
        f"What the teacher's logits are learnt by: {', '.join(losses.soft_loss_names())}; with"
        " settings of its own in parentheses, e.g. decoupled(other_weight=4).",
        SOFT_LOSS,
    )
    value_loss: str = option(
        "mse",
        "What values are learnt by: mse, or EmoNet's shake-shake with both correlations.",
        choices=losses.VALUE_LOSSES,
    )
    value_weight: float = option(1.0, "Weight of each value's loss.", NOT_NEGATIVE)
    bound_weight: float = option(
        0.5, "ν: weight of the teacher-bounded part of each value's loss.", NOT_NEGATIVE
    )
    margin: float = option(
        0.0, "m: the part that is bounded counts until the student is better by it.", NOT_NEGATIVE
    )
    baseline: bool = option(
        False, "Also train the same student without the teacher, same budget, for comparison."
    )
    recipe: str | None = option(
        None,
        "Defaults of training: paper, best, or quick (minutes on two cores); quick for drawn faces,"
        " best otherwise.",
        choices=RECIPES,
    )
    epochs: int | None = option(None, "Epochs of the student.", POSITIVE)
    teacher_epochs: int | None = option(None, "Epochs of a teacher that is trained here.", POSITIVE)
    batch_size: int | None = option(None, "Images a step.", POSITIVE)
    optimizer: str = option(
        "sgd",
        "sgd with Nesterov momentum 0.9, or adamw, whose rate is 0.001 and decay 0.01 if not given.",
        choices=("sgd", "adamw"),
    )
    learning_rate: float | None = option(None, "Highest learning rate.", POSITIVE)
    schedule: str | None = option(
        None,
        "cosine: warm-up, then down to 0; plateau: x0.1 when validation stagnates.",
        choices=("cosine", "plateau"),
    )
    patience: int | None = option(
        None, "Stop after so many epochs without a better validation; 0: never.", NOT_NEGATIVE
    )
    head_rate: float | None = option(
        None, "Highest learning rate of the head; --learning-rate if not given.", POSITIVE
    )
    body_rate: float | None = option(
        None, "Highest learning rate of all but the head; --learning-rate if not given.", POSITIVE
    )
    weight_decay: float | None = option(
        None, "L2 penalty's gradient factor, as in PyTorch's SGD.", NOT_NEGATIVE
    )
    clip_norm: float | None = option(
        None,
        "Largest norm of all gradients together; 0: any. T² makes the first steps' gradients"
        " large.",
        NOT_NEGATIVE,
    )
    ema: float | None = option(
        None,
        "Momentum of an exponential moving average of the weights, kept in their place; 0: none.",
        BELOW_ONE,
    )
    conv_dropout: float | None = option(None, "Dropout between convolutions.", BELOW_ONE)
    dense_dropout: float | None = option(None, "Dropout between dense layers.", BELOW_ONE)
    class_weights: str | None = option(
        None,
        "Weights of classes in the labels' loss: none, or n/(C·n_c).",
        choices=("none", "balanced"),
    )
    weights_normalised: bool = option(
        False,
        "Divide the labels' loss by the sum of its class weights, as PyTorch does, instead of by"
        " the images.",
    )
    label_smoothing: float = option(
        0.0, "Share of each label that is spread over all classes alike.", BELOW_ONE
    )
    augment: str | None = option(
        None,
        f"How training images are shown, words joined by commas: none, {', '.join(CHANGES)} (all but"
        f" mirror), {FACE_MIRROR} (mirror where the classes are expressions of faces, nothing"
        f" elsewhere), {', '.join(MIXTURES)} (need --live-teacher where a model teaches).",
        AUGMENTATION,
    )
    views: int = option(
        8, "Number of stored views of each image, where --augment is not none or mirror.", POSITIVE
    )
    live_teacher: bool = option(
        False,
        "Run the teacher on each batch, on the pixels that the student sees, instead of storing its"
        " answers; for those with a GPU.",
    )
    callback: str | None = option(
        None,
        "Keras callback beside the library's own: NAME or NAME(setting=value) of keras.callbacks, or"
        " package.module:function or file.py:function, whose code is run because you name it. May"
        " be given several times.",
        several=True,
        runs_code=True,
    )
    log: str | None = option(
        None,
        "tensorboard:DIR writes each epoch's scores as TensorBoard reads them.",
        (lambda text: text.startswith(TENSORBOARD) and text != TENSORBOARD, "tensorboard:DIR"),
    )
    formats: str = option("float32,int8", "A,B: formats of exported files, see `kerakd export`.")
    soft_labels: str | None = option(
        None, "Folder of a soft-label store to use or make, instead of the cache's."
    )
    verify_soft_labels: int = option(
        0, "Recompute so many random soft labels first and compare.", NOT_NEGATIVE
    )
    label_workers: int = option(
        1,
        "Processes that compute new soft labels, by Ray (extra ray); on the cluster of RAY_ADDRESS"
        " if that is set.",
        POSITIVE,
    )
    seed: int = option(0, "Of weights, order, dropout and views.", NOT_NEGATIVE)
    devices: int = option(
        1, "GPUs to train on, each with its share of every batch (tf.distribute).", POSITIVE
    )
    precision: str = option("auto", "Arithmetic: auto picks by the hardware.", choices=PRECISIONS)

    def __post_init__(self) -> None:
        for name, spec in fields().items():
            require(name, spec, kind(name), getattr(self, name))
        if self.freeze_until and not (self.start_from or self.keep_weights):
            raise ConfigError(
                f"freeze_until={self.freeze_until!r} would freeze weights that learnt nothing: give"
                " start_from, a trained model, or keep_weights, too."
            )

    def effective(self) -> Config:
        """The same with the recipe's values in place of None."""
        recipe = self.recipe or ("quick" if self.data == "faces" else "best")
        defaults = RECIPES[recipe] | (ADAMW if self.optimizer == "adamw" else {})
        missing = {name: value for name, value in defaults.items() if getattr(self, name) is None}
        return dataclasses.replace(self, **missing, recipe=recipe)

    @property
    def teachers(self) -> list[str]:
        """The names of the teachers, at least one."""
        return (self.teacher or self.default_teacher).split(SEPARATOR)

    @property
    def default_teacher(self) -> str:
        """The architecture that is trained as teacher where none is given, see the table in
        docs/distillation.md: of those measured the most accurate, and it trains without a GPU.
        """
        return "vgg8-half" if self.recipe == "quick" else "vgg8"


def fields() -> dict[str, dataclasses.Field]:
    """All options by name."""
    return {spec.name: spec for spec in dataclasses.fields(Config)}


def kind(name: str) -> type:
    """The type of an option's value: str, int, float or bool."""
    hint = _hints()[name]
    if isinstance(hint, types.UnionType):
        return next(part for part in typing.get_args(hint) if part is not type(None))
    return hint


@functools.cache
def _hints() -> dict[str, Any]:
    return typing.get_type_hints(Config)
