"""Options that are given and that another option leaves without effect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from keras_kd import config as configuration
from keras_kd._common import trust
from keras_kd._common.progress import Terminal
from keras_kd.config.recipes import RECIPES
from keras_kd.models import sources
from keras_kd.pipelines.plan import Plan
from keras_kd.pipelines.statements import OPTIONS
from keras_kd.teachers import augmentation

# What describes a teacher, what computes its outputs, and what its part of the loss is.
_MODEL = ("teacher_mirror", *(f"teacher_{option}" for option in OPTIONS))
_PASS = ("verify_soft_labels", "label_workers")
_LOSS = ("temperature", "soft_loss", "bound_weight", "margin")


def tell(plan: Plan, terminal: Terminal) -> None:
    """Tell the user which of the given options of a run have no effect.

    Args:
        plan: the run's plan.
        terminal: where the user sees it.
    """
    for remark in remarks(plan):
        terminal.say(remark)


def remarks(plan: Plan) -> list[str]:
    """Return which of the given options of a run have no effect, and why.

    Args:
        plan: the run's plan.

    Returns:
        One sentence for each reason.
    """
    options = plan.options
    found = [
        (why, [name for name in names if _is_given(options, name)])
        for why, names in (*_of_teaching(options, plan), *_of_training(options, plan))
    ]
    return [f"Without effect, because {why}: {', '.join(names)}." for why, names in found if names]


def _is_given(options: Mapping[str, Any], name: str) -> bool:
    """Whether a value is not what it would be if nobody gave it."""
    usual = configuration.fields()[name].default
    return options[name] != RECIPES[options["recipe"] or "best"].get(name, usual)


def _of_teaching(options: Mapping[str, Any], plan: Plan) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Reasons in who teaches, and the options that each leaves without effect."""
    kind = plan.teaching.kind
    if kind == "nobody":
        why = "beta=0" if options["beta"] == 0 else "alpha=1 without beta"
        rest = ("teacher", "teacher_epochs", "votes", "soft_labels", "baseline")
        alpha = ("alpha",) * (options["beta"] == 0)
        dot = ("optimizer",) * (options["optimizer"] == "dot")
        names = (*rest, *_MODEL, *_PASS, *_LOSS, *alpha, *dot)
        yield f"{why} trains on the labels alone", names
    elif options["alpha"] == 0:
        labels = ("class_weights", "weights_normalised", "label_smoothing")
        yield "alpha=0 gives labels of taught classes no weight", labels
    if kind == "votes":
        yield "people's votes teach", ("teacher_epochs", *_MODEL, *_PASS)
    if kind == "stored":
        yield "soft labels that are stored teach", ("teacher_epochs", *_MODEL, "label_workers")
    if kind == "models" and not any(map(sources.is_trainable, plan.teaching.teachers)):
        yield "no teacher is trained here", ("teacher_epochs",)
    if options["live_teacher"]:
        yield "a live teacher's outputs are not stored", _PASS


def _of_training(options: Mapping[str, Any], plan: Plan) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Reasons in how the student is trained."""
    if plan.student.start:
        yield f"the student starts from {plan.student.start.path}", ("pretrained",)
    elif sources.is_file(options["student"]):
        yield "the student's layers get new weights", ("student_classes",)
    source = options["student"]
    if sources.is_file(source) or trust.code(source):
        yield f"dropout is what {source} says", ("conv_dropout", "dense_dropout")
    if augmentation.kind(options["augment"], ()) in ("none", "mirror"):
        yield f"augment={options['augment']} draws no views by chance", ("views",)
    if not options["unlabeled"]:
        yield "no unlabeled pictures are given", ("unlabeled_share",)
    if options["class_weights"] == "none":
        yield "class_weights=none", ("weights_normalised",)
    if options["bound_weight"] == 0 and plan.teaching.kind != "nobody":
        yield "bound_weight=0", ("margin",)
