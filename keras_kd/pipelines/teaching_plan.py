"""Who teaches the student, and how, resolved once from the options."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from keras_kd import config as configuration
from keras_kd._common.paths import require_local
from keras_kd.config import Config
from keras_kd.errors import ConfigError
from keras_kd.pipelines import statements
from keras_kd.pipelines.statements import Statements
from keras_kd.teachers import augmentation, shard_labels, soft_labels
from keras_kd.training.settings import LossSettings


@dataclass(frozen=True)
class TeachingPlan:
    """How the student is taught.

    Attributes:
        kind: "nobody" (the labels alone), "votes" (people's votes in a file), "stored" (soft labels
            that exist already), or "models".
        teachers: files, architectures or names in the cache; used if the kind is "models".
        mirror: average over each image and its mirror image.
        stated: the user's statements about the teachers' files.
        votes: FER+'s csv, or None.
        views: number of stored views.
        store: folder of a soft-label store; None for the one in the cache.
        verified: number of stored views to recompute and compare first.
        workers: number of processes that compute new soft labels.
        unlabeled: folders of pictures that the teacher labels.
        unlabeled_share: share of these in each batch, above 0 and below 1.
        live: run the teacher on each batch instead of storing its outputs.
    """

    kind: Literal["nobody", "votes", "stored", "models"]
    teachers: tuple[str, ...]
    mirror: bool
    stated: Statements
    votes: str | None
    views: int
    store: Path | None
    verified: int
    workers: int
    unlabeled: tuple[str, ...]
    unlabeled_share: float
    live: bool


def resolve(config: Config, loss: LossSettings) -> TeachingPlan:
    """Turn options into who teaches and how.

    Args:
        config: all options, with the recipe's values.
        loss: the settings of the loss, whose weights say whether anybody teaches.

    Returns:
        The plan of the teaching.

    Raises:
        ConfigError: options contradict each other.
        OutputError: the soft labels are to lie at an address.
    """
    if config.votes and (config.teacher or config.soft_labels) and not loss.labels_alone:
        raise ConfigError(
            "--votes replace a teacher's model: leave out --teacher and --soft-labels, or --votes."
        )
    if config.unlabeled and (config.votes or loss.labels_alone):
        raise ConfigError(
            "unlabeled pictures need a model that teaches: leave out unlabeled, or votes and the"
            f" weights without a teacher. Received: alpha={config.alpha}, beta={config.beta},"
            f" votes={config.votes!r}."
        )
    _check_live(config, loss)
    if config.soft_labels:
        require_local(config.soft_labels)
    kind = _kind(config, loss)
    if loss.matches and (kind != "models" or len(config.teachers) > 1):
        raise ConfigError(
            "match compares a student's layers with those of one Keras model: give one teacher,"
            " weights of its own, and no votes. Received:"
            f" match={config.match!r}, teacher={config.teacher!r}."
        )
    given = {name: getattr(config, f"teacher_{name}") for name in statements.OPTIONS}
    texts = {name: list(configuration.separated(text)) for name, text in given.items() if text}
    stated = statements.parse(config.teachers, texts, "teacher_")
    return TeachingPlan(
        kind=kind,
        teachers=tuple(config.teachers),
        mirror=config.teacher_mirror,
        stated=stated,
        votes=config.votes,
        views=config.views,
        store=Path(config.soft_labels) if config.soft_labels else None,
        verified=config.verify_soft_labels,
        workers=config.label_workers,
        unlabeled=configuration.separated(config.unlabeled),
        unlabeled_share=config.unlabeled_share,
        live=config.live_teacher,
    )


def _check_live(config: Config, loss: LossSettings) -> None:
    """Stored outputs are of exact views; what is mixed anew in each batch was never seen."""
    mixed = augmentation.mixtures(config.augment)
    if mixed and not config.live_teacher and not loss.labels_alone:
        raise ConfigError(
            f"augment={config.augment!r} mixes the images of each batch, and stored soft labels fit"
            f" unmixed images only: add --live-teacher, or leave out {' and '.join(mixed)}."
        )
    given = {
        "votes": config.votes,
        "soft_labels": config.soft_labels,
        "unlabeled": config.unlabeled,
    }
    stored = [name for name, value in given.items() if value]
    if config.live_teacher and (stored or loss.labels_alone):
        raise ConfigError(
            "live_teacher runs a model on each batch and stores nothing: leave it out, or"
            f" {' and '.join(stored) or 'the weights without a teacher'}."
        )


def _kind(config: Config, loss: LossSettings) -> Literal["nobody", "votes", "stored", "models"]:
    """Who teaches; a store that is filled teaches alone where no teacher is named or compared."""
    if loss.labels_alone:
        return "nobody"
    if config.votes:
        return "votes"
    store = Path(config.soft_labels or "")
    filled = config.soft_labels and (
        (store / soft_labels.RECORD).exists() or shard_labels.holds_stores(store)
    )
    if filled and config.teacher is None and not config.verify_soft_labels:
        return "stored"
    return "models"
