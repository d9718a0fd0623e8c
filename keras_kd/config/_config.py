"""Every option once: its type, default, help and check."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from keras_kd import losses
from keras_kd._common.vocabulary import CHANGES, DEGRADE, FACE_MIRROR, MIXTURES, SHUFFLE_BUFFER
from keras_kd.config._options import (
    AUGMENTATION,
    BELOW_ONE,
    LOG,
    MATCHES,
    NOT_NEGATIVE,
    POSITIVE,
    SHARE,
    SIZE,
    SOFT_LOSS,
    option,
    require,
    separated,
    statement,
    type_of,
)
from keras_kd.config.recipes import ADAMW, RECIPES
from keras_kd.errors import ConfigError

PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")


@dataclass(frozen=True)
class Config:
    """All options of a run.

    The help of each field is the text of the command line. None means that the recipe, the data or
    the model file supplies the value.

    Raises:
        ConfigError: a value has the wrong type or is out of its range. The message names the
            option and the values that are allowed.
    """

    data: str = option(
        "faces",
        "Data set: a file or folder whose form is recognised, NAME:PATH, or `faces`, "
        "which are drawn.",
    )
    image_size: int | str | None = option(
        None,
        "Size of the images in pixels: the side of a square, or HEIGHTxWIDTH. If not given, it is "
        "48 with the recipe quick, and else the data set's own size, mostly 64.",
        SIZE,
        is_size=True,
    )
    skip_bad_rows: bool = option(
        False, "Leave out unreadable rows and list them, instead of stopping."
    )
    student: str = option(
        "B",
        "Student model: an architecture of `kerakd models`; keras:NAME of "
        "keras.applications; a .keras file, whose layers get new weights and a new "
        "head; or package.module:function or file.py:function, which returns a Keras "
        "model. The code of such a function is run.",
        runs_code=True,
    )
    teacher: str | None = option(
        None,
        "Teacher model: a model file, which teaches as it is (`teach` trains its layers with new "
        "weights, or see --keep-weights), or any value of --student, which is first trained on the "
        "same data and kept in the cache. Several teachers are averaged. If not given, it is vgg8, "
        "or vgg8-half with the recipe quick; there is none if --soft-labels has the logits.",
        several=True,
        runs_code=True,
    )
    keep_weights: bool = option(
        False,
        "Keep the weights of the .keras file that is trained: the student's, or the "
        "teacher's with `teach`. Its head is new unless its classes are the data's, in any order.",
    )
    student_range: str | None = statement("range", "student")
    student_mean: str | None = statement("mean", "student")
    student_std: str | None = statement("std", "student")
    student_channel_order: str | None = statement("channel_order", "student")
    student_classes: str | None = statement("classes", "student")
    teacher_mirror: bool = option(
        False, "Average the teacher's outputs over each image and its mirror image."
    )
    teacher_input: str | None = statement("input", "teacher")
    teacher_range: str | None = statement("range", "teacher")
    teacher_mean: str | None = statement("mean", "teacher")
    teacher_std: str | None = statement("std", "teacher")
    teacher_channel_order: str | None = statement("channel_order", "teacher")
    teacher_output: str | None = statement("output", "teacher")
    teacher_classes: str | None = statement("classes", "teacher")
    teacher_head: str | None = statement("head", "teacher")
    unlabeled: str | None = option(
        None,
        "Folder of images without labels, at any depth. The teacher labels them, and "
        "the student learns from them and from the labelled images. Copies and near "
        "copies of validation and test images are left out. May be given several times.",
        several=True,
    )
    unlabeled_share: float = option(
        0.5,
        "Share of each batch that is taken from --unlabeled.",
        (lambda value: 0 < value < 1, "above 0 and below 1"),
    )
    votes: str | None = option(
        None,
        "FER+'s csv of people's votes on FER2013's images. The votes are the soft "
        "labels, instead of a model's outputs.",
    )
    temperature: float = option(
        losses.TEMPERATURE,
        "T: temperature, by which the logits of teacher and student are divided.",
        POSITIVE,
        flag="temp",
    )
    alpha: float = option(losses.ALPHA, "α: weight of the loss on the true labels.", SHARE)
    beta: float | None = option(
        None,
        "β: weight of the loss on the teacher's soft labels. If not given, it is 1-α. "
        "With 0, there is no teacher.",
        NOT_NEGATIVE,
    )
    pretrained: str | None = option(
        None,
        "Start from the weights that Keras offers for mobilenetv2 and keras:NAME: the "
        "student with `distill`, the teacher with `teach`.",
        choices=("imagenet",),
    )
    start_from: str | None = option(
        None,
        "Fine-tune a .keras file: the student with `distill`, the teacher with `teach`. "
        "Its body is kept; its head is new unless its classes are the data's, in any order.",
    )
    freeze_until: str | None = option(
        None, "With --start-from or --keep-weights: freeze all layers up to the one with this name."
    )
    heads: str | None = option(
        None,
        "A,B: names of the heads to train, the data's classes and continuous values, "
        "e.g. expression,valence,arousal. If not given, these are the classes and the "
        "values that the teacher has.",
        is_list=True,
    )
    soft_loss: str = option(
        "kl",
        f"Loss on the teacher's logits: {', '.join(losses.soft_loss_names())}. Its own settings"
        " follow in parentheses, e.g. decoupled(other_weight=4).",
        SOFT_LOSS,
    )
    match: str | None = option(
        None,
        "STUDENT_LAYER:TEACHER_LAYER:KIND: also match the outputs of two layers, with KIND one of "
        f"{', '.join(losses.feature_loss_names())} or KIND(weight=NUMBER). The teacher, one .keras "
        "file or architecture, then runs on each batch. May be given several times.",
        MATCHES,
        several=True,
    )
    value_loss: str = option(
        "mse",
        "Loss of the continuous values: mse, or EmoNet's shake-shake, which adds two correlations.",
        choices=losses.VALUE_LOSSES,
    )
    value_weight: float = option(1.0, "Weight of the loss of each continuous value.", NOT_NEGATIVE)
    bound_weight: float = option(
        0.5, "ν: weight of the teacher-bounded part of each value's loss.", NOT_NEGATIVE
    )
    margin: float = option(
        0.0,
        "m: the teacher-bounded part is 0 once the student's error is smaller than the "
        "teacher's by this margin.",
        NOT_NEGATIVE,
    )
    baseline: bool = option(
        False,
        "Also train the same student without a teacher, with the same budget, for comparison.",
    )
    recipe: str | None = option(
        None,
        "Set of defaults for training: paper, best, or quick, which takes minutes on "
        "two cores. If not given, it is quick for drawn faces and best for other data.",
        choices=RECIPES,
    )
    epochs: int | None = option(None, "Number of epochs for the student.", POSITIVE)
    teacher_epochs: int | None = option(
        None, "Number of epochs for a teacher that is trained here.", POSITIVE
    )
    batch_size: int | None = option(None, "Number of images in a batch.", POSITIVE)
    optimizer: str = option(
        "sgd",
        "Optimizer: sgd with Nesterov momentum 0.9; adamw, whose defaults are learning rate "
        "0.001 and weight decay 0.01; or dot, SGD with a larger momentum for the teacher's "
        "gradients than for the labels'.",
        choices=("sgd", "adamw", "dot"),
    )
    learning_rate: float | None = option(None, "Peak learning rate.", POSITIVE)
    schedule: str | None = option(
        None,
        "Learning rate schedule. cosine: warm-up, then cosine decay to 0. plateau: "
        "multiplied by 0.1 when the validation score stagnates.",
        choices=("cosine", "plateau"),
    )
    patience: int | None = option(
        None,
        "Stop after this many epochs without a better validation score; 0 never stops early.",
        NOT_NEGATIVE,
    )
    head_rate: float | None = option(
        None, "Peak learning rate of the head; --learning-rate if not given.", POSITIVE
    )
    body_rate: float | None = option(
        None,
        "Peak learning rate of all layers but the head; --learning-rate if not given.",
        POSITIVE,
    )
    weight_decay: float | None = option(
        None, "Weight decay, added to the gradient as in PyTorch's SGD.", NOT_NEGATIVE
    )
    clip_norm: float | None = option(
        None,
        "Largest global norm of the gradients; 0 turns clipping off. The factor T² "
        "makes the gradients of the first steps large.",
        NOT_NEGATIVE,
    )
    ema: float | None = option(
        None,
        "Momentum of an exponential moving average of the weights, which replaces the "
        "weights at the end; 0 turns it off.",
        BELOW_ONE,
    )
    conv_dropout: float | None = option(None, "Dropout rate between convolutions.", BELOW_ONE)
    dense_dropout: float | None = option(None, "Dropout rate between dense layers.", BELOW_ONE)
    class_weights: str | None = option(
        None,
        "Class weights in the loss on the labels: none, or balanced, which is n/(C·n_c) "
        "for class c.",
        choices=("none", "balanced"),
    )
    weights_normalised: bool = option(
        False,
        "Divide the loss on the labels by the sum of the class weights, as PyTorch "
        "does, instead of by the number of images.",
    )
    label_smoothing: float = option(
        0.0, "Share of each label that is spread evenly over all classes.", BELOW_ONE
    )
    augment: str | None = option(
        None,
        f"Augmentations, joined by commas: none; {', '.join(CHANGES)} (strong is all of these but"
        f" mirror); {FACE_MIRROR} (mirror if the classes are expressions of faces, else none);"
        f" {', '.join(MIXTURES)} (these need --live-teacher if a model teaches);"
        f" {DEGRADE} (a quarter of the student's images are spoilt, none of its teacher's).",
        AUGMENTATION,
        is_list=True,
    )
    views: int = option(
        8,
        "Number of augmented views to store of each image, unless --augment is none or mirror.",
        (lambda value: 0 < value <= 100_000, "above 0 and at most 100,000"),
    )
    shuffle_buffer: int = option(
        SHUFFLE_BUFFER,
        "Number of images that are shuffled together, in whole shards, if the training images"
        " stay in their shards; the shards themselves are shuffled, too.",
        POSITIVE,
    )
    live_teacher: bool = option(
        False,
        "Run the teacher on each batch, on the same views as the student, instead of "
        "storing its outputs. This needs a GPU to be fast.",
    )
    callback: str | None = option(
        None,
        "Keras callback to add to the library's own: NAME or NAME(setting=value) of "
        "keras.callbacks, or package.module:function or file.py:function. The code of "
        "such a function is run. May be given several times.",
        several=True,
        runs_code=True,
    )
    log: str | None = option(
        None,
        "Where to log each epoch's metrics: tensorboard:DIR, a folder for TensorBoard, or "
        "mlflow:URI, MLflow's server or database (sqlite:///FILE). May be given several times.",
        LOG,
        several=True,
    )
    formats: str = option(
        "float32,int8",
        "A,B: formats or targets of the exported files, see `kerakd export --help`.",
        is_list=True,
    )
    soft_labels: str | None = option(
        None, "Folder of the soft-label store to use or create, instead of the one in the cache."
    )
    verify_soft_labels: int = option(
        0,
        "Number of randomly chosen soft labels to recompute and compare before training.",
        NOT_NEGATIVE,
    )
    label_workers: int = option(
        1,
        "Number of processes that compute new soft labels, run by Ray (extra ray). If "
        "RAY_ADDRESS is set, they run on that cluster.",
        POSITIVE,
    )
    seed: int = option(0, "Seed of weights, data order, dropout and augmentation.", NOT_NEGATIVE)
    devices: int = option(
        1,
        "Number of GPUs to train on. Each takes its share of every batch (tf.distribute).",
        POSITIVE,
    )
    hosts: int = option(
        1,
        "Number of processes that train the student together, each on one device and with its part"
        " of every batch (extra jax). Start the same command in each, with its number in"
        " KERAKD_HOST and the address of process 0 in KERAKD_HEAD, see docs/scale.md.",
        POSITIVE,
    )
    precision: str = option(
        "auto", "Arithmetic of training; auto chooses by the hardware.", choices=PRECISIONS
    )

    def __post_init__(self) -> None:
        for spec in dataclasses.fields(self):
            require(spec.name, spec, type_of(Config, spec.name), getattr(self, spec.name))
        if self.freeze_until and not (self.start_from or self.keep_weights):
            raise ConfigError(
                f"freeze_until={self.freeze_until!r} would freeze weights that were never trained:"
                " also give start_from with a trained model, or keep_weights."
            )

    def effective(self) -> Config:
        """Return a copy with the recipe's values in place of None."""
        recipe = self.recipe or ("quick" if self.data == "faces" else "best")
        defaults = RECIPES[recipe] | (ADAMW if self.optimizer == "adamw" else {})
        missing = {name: value for name, value in defaults.items() if getattr(self, name) is None}
        return dataclasses.replace(self, **missing, recipe=recipe)

    @property
    def teachers(self) -> list[str]:
        """The sources of the teachers, as --teacher takes them; at least one."""
        return list(separated(self.teacher or self.default_teacher))

    @property
    def default_teacher(self) -> str:
        """The architecture that is trained as teacher where none is given, see the table in
        docs/distillation.md: of those measured the most accurate, and it trains without a GPU.
        """
        return "vgg8-half" if self.recipe == "quick" else "vgg8"
