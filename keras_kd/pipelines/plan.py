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
from keras_kd._common import run_files
from keras_kd._common.paths import require_local
from keras_kd._common.vocabulary import TENSORBOARD
from keras_kd.config import Config
from keras_kd.datasets.images import Size
from keras_kd.distiller import FeatureMatch
from keras_kd.errors import ConfigError
from keras_kd.exporters import targets
from keras_kd.models import sources
from keras_kd.pipelines import run_folder, statements, teaching_plan
from keras_kd.pipelines.teaching_plan import TeachingPlan
from keras_kd.runtimes.stated import NOTHING, Stated
from keras_kd.teachers import augmentation
from keras_kd.training.settings import LossSettings, StartingPoint, TrainingSettings

Part = TypeVar("Part")


@dataclass(frozen=True)
class DatasetPlan:
    """Which data set, and how it is read.

    Attributes:
        path: a data set as in `datasets.load`.
        skip_bad_rows: leave out unreadable rows instead of raising.
        image_size: in pixels, the side of a square or (height, width); None for the data set's own.
    """

    path: str
    skip_bad_rows: bool
    image_size: Size | None


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
        stated: what the user says of its file.
    """

    architecture: str
    epochs: int
    heads: tuple[str, ...] | None
    pretrained: str | None
    start: StartingPoint | None
    baseline: bool
    stated: Stated = NOTHING


@dataclass(frozen=True)
class TeacherPlan:
    """How a teacher is trained, if one is trained first.

    Attributes:
        epochs: number of epochs.
        training: settings of the training.
        start: a trained model to start from, or None.
        pretrained: published weights to start from, or None.
        stated: what the user says of the file whose layers are trained.
    """

    epochs: int
    training: TrainingSettings
    start: StartingPoint | None = None
    pretrained: str | None = None
    stated: Stated = NOTHING


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
        OutputError: TensorBoard's log is to lie at an address.
    """
    config = config.effective()
    _check_names(config)
    _check_hosts(config)
    _check_logs(config)
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
    # Its teacher learns, as it answers, from good images.
    augment = augmentation.undegraded(training.augment)
    of_teacher = dataclasses.replace(training, head_rate=None, body_rate=None, augment=augment)
    start = _start(config, learner)
    stated = _stated_of_student(config, start) if learner == "student" else NOTHING
    return Plan(
        data=DatasetPlan(config.data, config.skip_bad_rows, _size(config.image_size)),
        teaching=teaching_plan.resolve(config, loss),
        teacher=TeacherPlan(config.teacher_epochs, of_teacher),
        student=StudentPlan(
            architecture=config.student,
            epochs=config.epochs,
            heads=configuration.listed(config.heads) if config.heads else None,
            pretrained=config.pretrained,
            start=dataclasses.replace(start, stated=stated) if start else None,
            baseline=config.baseline,
            stated=stated,
        ),
        training=training,
        formats=configuration.listed(config.formats),
        options=dataclasses.asdict(config),
        hosts=config.hosts,
    )


def _size(text: int | str | None) -> Size | None:
    """The size that the option image_size names."""
    if isinstance(text, str):
        height, width = text.split("x")
        return int(height), int(width)
    return text


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
    stated, start = _stated_of_teacher(plan), plan.student.start
    teacher = dataclasses.replace(
        plan.teacher,
        training=plan.training,
        start=dataclasses.replace(start, stated=stated) if start else None,
        pretrained=plan.student.pretrained,
        stated=stated,
    )
    return dataclasses.replace(plan, teacher=teacher)


def _stated_of_teacher(plan: Plan) -> Stated:
    """What the user says of the file that a teacher starts from or has its layers of."""
    start, stated, named = plan.student.start, plan.teaching.stated, plan.options["teacher"]
    given = stated.names()
    pixels = ("range", "mean", "std", "channel_order")
    # A file gives its classes with its weights.
    parts = (*pixels, "classes") if start else pixels if named and sources.is_file(named) else ()
    if wrong := [name for name in given if name.removeprefix(stated.prefix) not in parts]:
        raise ConfigError(
            f"{', '.join(wrong)} describes a file that teaches as it is, and teach trains one: of a"
            f" file whose layers are trained, {', '.join(pixels)} can be stated, and classes if its"
            " weights are kept (start_from, keep_weights); leave anything else out."
        )
    return stated.of(stated.models[0]) if given else NOTHING


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


def resolve_recorded(out: Path) -> Plan:
    """Turn the options that a run's folder records into the plan of the run, resumed.

    Args:
        out: the run's folder.

    Returns:
        The plan.

    Raises:
        ConfigError: as `resolve`, or the folder records no options.
    """
    return resolve_run(Config(**configuration.load(out / run_files.OPTIONS)), out, resume=True)


def _part(config: Config, part: type[Part], **given: Any) -> Part:
    """The fields of `part` that are options of the same name."""
    fields = dataclasses.fields(part)  # type: ignore[arg-type]
    names = [field.name for field in fields if field.name not in given]
    return part(**{name: getattr(config, name) for name in names}, **given)


def _start(config: Config, option: str) -> StartingPoint | None:
    """What starts the training of the option's model: a file of its own, or what its file
    learnt.
    """
    source = getattr(config, option)
    if not config.keep_weights:
        path = config.start_from
        if path and source and sources.is_file(source) and source != path:
            raise ConfigError(
                f"start_from trains the layers of its own file, so those of {option}={source!r}"
                f" would not be used: leave one of the two out. Received: start_from={path!r}."
            )
        return StartingPoint(path, config.freeze_until) if path else None
    if config.start_from or source is None or not sources.is_file(source):
        raise ConfigError(
            f"keep_weights keeps the weights of a model file: give a .keras file as {option}, and"
            f" no start_from. Received: {option}={source!r}, start_from={config.start_from!r}."
        )
    return StartingPoint(source, config.freeze_until)


def _stated_of_student(config: Config, start: StartingPoint | None) -> Stated:
    """What the user says of the file that the student starts from or has its layers of."""
    names = ("range", "mean", "std", "channel_order", "classes")
    given = {name: getattr(config, f"student_{name}") for name in names}
    file = start.path if start else config.student
    texts = {name: [text] for name, text in given.items() if text is not None}
    if texts and not sources.is_file(file):
        raise ConfigError(
            f"{', '.join(f'student_{name}' for name in texts)} describes a model file, but the"
            f" student is built here ({file}): leave the option out, or give a .keras file as"
            " student or start_from."
        )
    return statements.parse((file,), texts, "student_").of(file)


def _check_names(config: Config) -> None:
    sources.require_known("student", config.student)
    names = configuration.listed(config.formats)
    if not all(names):
        raise ConfigError(
            "formats must be names joined by commas, and one is empty. Received:"
            f" formats={config.formats!r}."
        )
    if twice := [name for name in names if names.count(name) > 1]:
        raise ConfigError(
            f"formats names {twice[0]} twice: name it once. Received: formats={config.formats!r}."
        )
    for format in targets.formats_of(names):
        if exporters.find(format).SUFFIX != ".tflite":
            raise ConfigError(
                f"formats must be .tflite formats. Received: formats={config.formats!r}."
            )


def _check_logs(config: Config) -> None:
    for target in configuration.separated(config.log):
        # TensorBoard's writer would make a folder called `gs:` on this machine.
        if target.startswith(TENSORBOARD):
            require_local(target.removeprefix(TENSORBOARD))


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
