"""The students of a sweep, with one data set and one teacher for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from keras_kd import config as configuration
from keras_kd._common.progress import Terminal
from keras_kd.datasets import splits
from keras_kd.datasets.splits import Data
from keras_kd.errors import DataError, ModelError, TrainingError
from keras_kd.models import sources
from keras_kd.pipelines import cached_teachers, teacher_setup, unused_options
from keras_kd.pipelines import plan as planning
from keras_kd.pipelines.data_loading import load_data
from keras_kd.pipelines.plan import Plan
from keras_kd.pipelines.supervision import Supervision, student_facts, student_job
from keras_kd.training import job
from keras_kd.training.settings import Job

# What to do where the loss becomes NaN: no trial goes on with other options than its own.
_REMEDY = (
    "this student counts as failed; for others vary lower values of learning_rate, or give the"
    " command with another --out and a lower --learning-rate, another --clip-norm or --precision"
    " float32"
)


class Trials:
    """Students trained one after the other on the same data. A teacher runs once, and test images
    are not used.

    Args:
        options: options of the data and of a teacher that is trained here, by name.
        terminal: where the user sees progress.
    """

    def __init__(self, options: Mapping[str, Any], terminal: Terminal) -> None:
        self._plan = planned(options)
        self._terminal = terminal
        self._data = load_data(self._plan.data, terminal, self._plan.teaching.store)
        self._teachers: dict[str, str] = {}
        self._failed: dict[str, TrainingError] = {}  # by the teachers' names
        self._supervisions: dict[tuple, Supervision] = {}
        self._remarks: set[str] = set()

    @cached_property
    def facts_of_data(self) -> dict[str, str]:
        """Fingerprints of the training and validation images, as `Data.facts` does."""
        facts = self._data.facts()
        return {what: fact for what, fact in facts.items() if what != splits.OF_TEST}

    def train(
        self,
        options: Mapping[str, Any],
        folder: Path,
        after_epoch: Callable[[dict[str, float]], None],
        begin: Callable[[Mapping[str, str]], None],
    ) -> list[dict[str, float]]:
        """Train the student with these options, or continue what was stopped in `folder`.

        Args:
            options: as from `options`; those of the data are as above.
            folder: folder for the state of the training.
            after_epoch: called with each epoch's row of the history; an exception that it raises
                ends the training.
            begin: called before the training with fingerprints of the data, the teacher, and the
                student's files and code, by what they are of.

        Returns:
            The history.
        """
        plan = planned(options)
        supervision = self._supervised(plan)
        task = student_job(plan, self._data, supervision, folder)
        # Those of the data, too: another process may have begun with other data meanwhile.
        begin(self.facts_of_data | _facts(plan, task, self._data, supervision))
        shown = supervision.data_of_student(self._data)
        return job.train(task, plan.training, shown, self._terminal, after_epoch, _REMEDY)[1]

    def options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options for `train`, with which `distill` has the same result: all options,
        and a teacher by its name in the cache.

        A teacher that is trained here is trained with the options that this object was created
        with. The user is told which options have no effect, in each sentence once.

        Raises:
            TrainingError: the training of a teacher failed, now or before, or it can't teach.
        """
        plan = planned(options)
        for remark in unused_options.remarks(plan):
            if remark not in self._remarks:
                self._remarks.add(remark)
                self._terminal.say(remark)
        if plan.teaching.kind != "models":
            return plan.options
        for name in plan.teaching.teachers:
            if sources.is_trainable(name) and name not in self._teachers:
                self._teachers[name] = self._trained(name)
        names = (self._teachers.get(name, name) for name in plan.teaching.teachers)
        named = plan.options | {"teacher": configuration.SEPARATOR.join(names)}
        try:
            self._supervised(planned(named))
        except (DataError, ModelError) as error:
            # As of a file that gives NaN; the data were loaded before.
            raise TrainingError(str(error)) from error
        return named

    def _trained(self, name: str) -> str:
        """The name in the cache of a teacher that is trained here, once: it would fail again."""
        if name in self._failed:
            raise self._failed[name]
        try:
            path = cached_teachers.trained(self._plan, self._data, name, self._terminal)
        except TrainingError as error:
            self._failed[name] = error
            raise
        return path.parent.name

    def _supervised(self, plan: Plan) -> Supervision:
        if plan.teaching.kind == "nobody":
            return Supervision()
        key = (repr(plan.teaching), plan.training.augment, plan.training.seed)
        if key not in self._supervisions:
            self._supervisions[key] = teacher_setup.prepare(plan, self._data, self._terminal)
        return self._supervisions[key]


def _facts(plan: Plan, task: Job, data: Data, supervision: Supervision) -> dict[str, str]:
    """Fingerprints by names that differ where the options vary."""
    facts, teaching = supervision.facts(), plan.teaching
    if supervision.teacher:
        # By their whole paths: all runs call their students alike.
        names = [name + " mirrored" * teaching.mirror for name in teaching.teachers]
        for name, member in zip(names, supervision.teacher.members, strict=True):
            facts[f"the teacher {name}"] = member.fingerprint
    elif supervision.soft_labels:
        stored = f"the teacher of the {supervision.name}"
        votes = f"the votes in {teaching.votes}"
        facts[votes if teaching.votes else stored] = supervision.soft_labels.key.teacher
    start = [task.start.path] if task.start else []
    made_of = ", ".join(dict.fromkeys([task.architecture, *start, *task.heads.widths]))
    of_student = student_facts(task, data)
    return facts | {f"{what} ({made_of})": fact for what, fact in of_student.items()}


def planned(options: Mapping[str, Any]) -> Plan:
    """Return the plan of a student of a sweep.

    Args:
        options: by name.

    Returns:
        The plan.

    Raises:
        ConfigError: they contradict each other, or need several hosts.
        ModelError: there is no such student.
    """
    config = configuration.merged(None, options)
    planning.require_one_host(config, "sweep")
    return planning.resolve(config)
