"""A run's plan, resolved once from its options: data, teachers, student, training, files.

Nothing below the pipelines reads the options again.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from keras_kd import config as configuration
from keras_kd import exporters, losses
from keras_kd.config import Config
from keras_kd.distiller import FeatureMatch
from keras_kd.errors import ConfigError
from keras_kd.models import sources
from keras_kd.pipelines import run_folder, statements
from keras_kd.pipelines.statements import Statements
from keras_kd.teachers import augmentation, shard_labels, soft_labels
from keras_kd.training.settings import LossSettings, StartingPoint, TrainingSettings

Part = TypeVar("Part")


@dataclass(frozen=True)
class DatasetPlan:
    """Which data set, and how it is read.

    Attributes:
        path: a data set as in `datasets.load`.
        skip_bad_rows: leave out unreadable rows instead of raising.
        image_size: height and width in pixels; None for the data set's own.
    """

    path: str
    skip_bad_rows: bool
    image_size: int | None


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


@dataclass(frozen=True)
class StudentPlan:
    """What is trained as the student.

    Attributes:
        architecture: the model to build, see `models.sources`.
        epochs: number of epochs.
        heads: names of the heads; None for those that data and teacher have.
        pretrained: published weights to start from, or None.
        start: a trained model to start from, or None.
        baseline: also train it without a teacher.
    """

    architecture: str
    epochs: int
    heads: tuple[str, ...] | None
    pretrained: str | None
    start: StartingPoint | None
    baseline: bool


@dataclass(frozen=True)
class TeacherPlan:
    """How a teacher is trained, if one is trained first.

    Attributes:
        epochs: number of epochs.
        training: settings of the training.
        start: a trained model to start from, or None.
        pretrained: published weights to start from, or None.
    """

    epochs: int
    training: TrainingSettings
    start: StartingPoint | None = None
    pretrained: str | None = None


@dataclass(frozen=True)
class Plan:
    """A whole run.

    Attributes:
        data: the data set.
        teaching: how the student is taught.
        teacher: how a teacher is trained, if one is.
        student: what is trained.
        training: how the student is trained.
        formats: formats of the exported files.
        options: every option with its effective value, as in the run's config.toml.
        hosts: number of processes that train the student together.
    """

    data: DatasetPlan
    teaching: TeachingPlan
    teacher: TeacherPlan
    student: StudentPlan
    training: TrainingSettings
    formats: tuple[str, ...]
    options: dict[str, Any]
    hosts: int = 1


def resolve(config: Config, learner: Literal["student", "teacher"] = "student") -> Plan:
    """Turn options into a plan; the recipe supplies the values that are not given.

    Args:
        config: all options.
        learner: whose weights `keep_weights` keeps, "student" or "teacher".

    Returns:
        The plan.

    Raises:
        ConfigError: options contradict each other, or a name is unknown.
    """
    config = config.effective()
    _check_names(config)
    _check_hosts(config)
    matched = [losses.parsed_match(text) for text in configuration.separated(config.match)]
    matches = tuple(FeatureMatch(*parts) for parts in matched)
    loss = _part(config, LossSettings, matches=matches)
    training = _part(
        config,
        TrainingSettings,
        loss=loss,
        callbacks=configuration.separated(config.callback),
        log=configuration.separated(config.log),
    )
    # Own rates of head and body belong to a start from a trained model, here the student's.
    of_teacher = dataclasses.replace(training, head_rate=None, body_rate=None)
    return Plan(
        DatasetPlan(config.data, config.skip_bad_rows, config.image_size),
        _teaching(config, loss),
        TeacherPlan(config.teacher_epochs, of_teacher),
        StudentPlan(
            config.student,
            config.epochs,
            tuple(config.heads.split(",")) if config.heads else None,
            config.pretrained,
            _start(config, learner),
            config.baseline,
        ),
        training,
        tuple(config.formats.split(",")),
        dataclasses.asdict(config),
        config.hosts,
    )


def resolve_teacher(config: Config) -> Plan:
    """Turn options into a plan for training a teacher, to which all starting weights then belong.

    Args:
        config: all options.

    Returns:
        The plan.

    Raises:
        ConfigError: as `resolve`.
    """
    require_one_host(config, "teach")
    plan = resolve(config, learner="teacher")
    teacher = dataclasses.replace(
        plan.teacher,
        training=plan.training,
        start=plan.student.start,
        pretrained=plan.student.pretrained,
    )
    return dataclasses.replace(plan, teacher=teacher)


def resolve_run(config: Config, out: Path, resume: bool) -> Plan:
    """Turn options into a plan for the run in a folder; a given store is filled by the named
    teacher.

    Otherwise a resumed run would take the store that it has filled itself for the only teacher.

    Args:
        config: all options.
        out: the run's folder.
        resume: whether the run is resumed.

    Returns:
        The plan.

    Raises:
        ConfigError: as `resolve`.
    """
    config = config.effective()
    if config.soft_labels and not config.teacher:
        default = config.default_teacher
        named = resume and run_folder.recorded(out).get("teacher") == default
        if named or (not resume and resolve(config).teaching.kind == "models"):
            config = dataclasses.replace(config, teacher=default)
    plan = resolve(config)
    if not resume or not run_folder.recorded(out):
        return plan
    # A teacher that was trained first is the one of the options that the run began with.
    began = run_folder.original(out)
    training = dataclasses.replace(
        plan.teacher.training,
        learning_rate=began["learning_rate"],
        clip_norm=began["clip_norm"],
    )
    return dataclasses.replace(plan, teacher=dataclasses.replace(plan.teacher, training=training))


def _part(config: Config, part: type[Part], **given: Any) -> Part:
    """The fields of `part` that are options of the same name."""
    names = [field.name for field in dataclasses.fields(part) if field.name not in given]  # type: ignore[arg-type]
    return part(**{name: getattr(config, name) for name in names}, **given)


def _start(config: Config, option: str) -> StartingPoint | None:
    """What starts the training of the option's model: a file of its own, or what its file
    learnt.
    """
    source = getattr(config, option)
    if not config.keep_weights:
        path = config.start_from
        return StartingPoint(path, config.freeze_until) if path else None
    if config.start_from or source is None or not sources.is_file(source):
        raise ConfigError(
            f"keep_weights keeps the weights of a model file: give a .keras file as {option}, and"
            f" no start_from. Received: {option}={source!r}, start_from={config.start_from!r}."
        )
    return StartingPoint(source, config.freeze_until)


def _check_names(config: Config) -> None:
    sources.require_known("student", config.student)
    for format in config.formats.split(","):
        if exporters.find(format).SUFFIX != ".tflite":
            raise ConfigError(
                f"formats must be .tflite formats. Received: formats={config.formats!r}."
            )


def _check_hosts(config: Config) -> None:
    """Refuse what several processes can't train together."""
    if config.hosts == 1:
        return
    given = {
        "devices": config.devices > 1,
        "live_teacher": config.live_teacher,
        "baseline": config.baseline,
        "callback": bool(config.callback),
        "match": bool(config.match),
    }
    wrong = [name for name, is_given in given.items() if is_given]
    if wrong:
        raise ConfigError(
            f"hosts={config.hosts} does not go with {', '.join(wrong)}: leave it out."
        )
    if config.batch_size % config.hosts:
        raise ConfigError(
            f"batch_size must be a multiple of hosts={config.hosts}, because each takes the same"
            f" part of a batch. Received: batch_size={config.batch_size}."
        )


def require_one_host(config: Config, what: str) -> None:
    """Refuse several hosts where one process trains.

    Args:
        config: all options.
        what: the command.

    Raises:
        ConfigError: hosts is more than 1.
    """
    if config.hosts > 1:
        raise ConfigError(
            f"{what} trains in one process: leave hosts out. Received: hosts={config.hosts}."
        )


def _teaching(config: Config, loss: LossSettings) -> TeachingPlan:
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
        kind,
        tuple(config.teachers),
        config.teacher_mirror,
        stated,
        config.votes,
        config.views,
        Path(config.soft_labels) if config.soft_labels else None,
        config.verify_soft_labels,
        config.label_workers,
        configuration.separated(config.unlabeled),
        config.unlabeled_share,
        config.live_teacher,
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
