"""Teacher, soft labels, student, scores, exported files, model card: `distill` is the whole
program.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import pandas as pd

from keras_kd import exporters
from keras_kd._common import run_files
from keras_kd._common.files import write_text
from keras_kd._common.progress import Terminal
from keras_kd.config import Config
from keras_kd.datasets.class_names import LABELS_FILE
from keras_kd.datasets.splits import Data
from keras_kd.evaluation import scoring
from keras_kd.exporters import targets
from keras_kd.models import keras_file
from keras_kd.models.spec import ModelSpec
from keras_kd.pipelines import joint, results, run_folder, teacher_setup, unused_options
from keras_kd.pipelines import plan as planning
from keras_kd.pipelines.data_loading import load_data
from keras_kd.pipelines.plan import Plan
from keras_kd.pipelines.supervision import Supervision, student_facts, student_job
from keras_kd.runtimes.predictors import KerasPredictor
from keras_kd.training import job
from keras_kd.training.batches import unlabeled_a_step
from keras_kd.training.settings import Job, TrainingSettings


def distill(
    config: Config,
    out: str | Path,
    terminal: Terminal | None = None,
    resume: bool = False,
    command: str = "",
) -> dict[str, Any]:
    """Run teacher → soft labels → student → scores → export → model card, in one folder.

    Args:
        config: all options.
        out: folder for the files of `run_folder`; it must be new or empty unless `resume`.
        terminal: where the user sees progress; None for nowhere.
        resume: continue a run that was stopped in `out`.
        command: the command that the user typed, for the model card.

    Returns:
        The content of metrics.json.

    Raises:
        KerasKDError: see keras_kd.errors.
    """
    terminal, out = terminal or Terminal(quiet=True), Path(out)
    plan = planning.resolve_run(config, out, resume)
    with run_folder.held(out, plan.options, resume):
        unused_options.tell(plan, terminal)
        data = load_data(plan.data, terminal, plan.teaching.store)
        supervision = teacher_setup.prepare(plan, data, terminal)
        task = student_job(plan, data, supervision, out / run_files.STATE)
        # Before the training, whose state belongs to exactly these images and outputs.
        run_folder.require_beginning(out, _beginning(task, data, supervision), plan.options)
        student, history = _trained(plan, task, supervision.data_of_student(data), out, terminal)
        # The process that calibrates int8 imports TensorFlow while scores are computed.
        spec = _saved(student, task, data, out)
        frame = pd.DataFrame(history)
        write_text(out / run_files.HISTORY, frame.to_csv(index=False))
        predictor = KerasPredictor(student, spec)
        on_test = predictor.predict(data.test.images)
        found = results.of_student(plan, data, student, predictor, history, supervision)
        found |= results.scores(
            data, on_test, predictor.predict(data.validation.images), supervision
        )
        if plan.student.baseline and task.teacher_logits is not None:
            settings = _on_labels_alone(plan.training, task)
            alone = job.train(_without_teacher(task), settings, data, terminal)[0]
            prediction = KerasPredictor(alone, spec).predict(data.test.images)
            found["baseline_test"] = scoring.scored(prediction, data.test)
        exporters.expect(targets.formats_of(plan.formats))
        found["exported"] = results.exported(student, on_test, out, plan.formats, data)
        results.write_report(out, plan, data, found, frame, command, on_test)
    return found


def _trained(
    plan: Plan, task: Job, data: Data, out: Path, terminal: Terminal
) -> tuple[keras.Model, list[dict[str, float]]]:
    """The student and its history, trained here or together with other hosts."""
    if plan.hosts == 1:
        return job.train(task, plan.training, data, terminal)
    return joint.train(plan, out)


def _beginning(task: Job, data: Data, supervision: Supervision) -> dict[str, str]:
    """What a run that is resumed must find as it was."""
    return {
        **data.facts(),
        # Soft labels are also of these pictures.
        **supervision.facts(),
        "the teacher or its soft labels": supervision.fingerprint,
        **student_facts(task, data),
    }


def _without_teacher(task: Job) -> Job:
    return replace(
        task,
        title=task.title.replace("student", "baseline", 1),
        folder=task.folder / "baseline",
        teacher_logits=None,
        teacher_images=None,
        feature_teacher=None,
        unlabeled=0,
    )


def _on_labels_alone(settings: TrainingSettings, task: Job) -> TrainingSettings:
    """The settings of the baseline: as many steps as the student's, each on the labelled images
    that are in one of the student's batches.
    """
    if not task.unlabeled:
        return settings
    others = unlabeled_a_step(settings.batch_size, task.unlabeled_share)
    return replace(settings, batch_size=settings.batch_size - others)


def _saved(student: keras.Model, task: Job, data: Data, out: Path) -> ModelSpec:
    """Write the student and its class names; return what it takes and gives."""
    spec = ModelSpec(task.heads.class_names or None, input_shape=data.image_shape)
    keras_file.save(student, out / run_files.STUDENT, spec)
    if task.heads.label:
        lines = "".join(f"{name}\n" for name in task.heads.class_names)
        write_text(out / LABELS_FILE, lines)
    return spec
