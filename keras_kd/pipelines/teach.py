"""Training of a teacher, and its soft labels if asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from keras_kd import models
from keras_kd._common import run_files
from keras_kd._common.files import require_apart
from keras_kd._common.progress import Terminal
from keras_kd.config import Config
from keras_kd.models import keras_file, sources
from keras_kd.pipelines import cached_teachers, statements, teacher_setup
from keras_kd.pipelines import plan as planning
from keras_kd.pipelines.apart_from_data import require_outside
from keras_kd.pipelines.data_loading import load_data
from keras_kd.pipelines.plan import Plan
from keras_kd.training import job


def teach(config: Config, out: str | Path | None = None, terminal: Terminal | None = None) -> Path:
    """Train the named teacher on the data, or find it in the cache; compute its soft labels if
    asked for.

    Args:
        config: all options. `teacher` must be a source of `models.sources`; with `start_from` it
            can be left out, and the file's own layers are trained.
        out: folder for a copy `teacher.keras`; None leaves it in the cache.
        terminal: where the user sees progress; None for nowhere.

    Returns:
        Path of the teacher's `.keras` file.

    Raises:
        KerasKDError: see keras_kd.errors.
    """
    terminal = terminal or Terminal(quiet=True)
    if out is not None:
        run_files.refuse_run(Path(out))
        read = [config.start_from, *config.teachers]
        require_apart([Path(out) / cached_teachers.TEACHER_FILE], filter(None, read))
        require_outside(Path(out), config.data)
    plan = planning.resolve_teacher(config)
    name = plan.options["teacher"] or _start_name(plan) or plan.teaching.teachers[0]
    if plan.options["teacher"] or not plan.teacher.start:
        sources.require_known("teacher", name)
    data = load_data(plan.data, terminal, plan.teaching.store)
    path = cached_teachers.trained(plan, data, name, terminal)
    if plan.teaching.store:
        views = job.views(plan.training, data, plan.teaching.views)
        # The one that was trained: the name may be that of the file whose layers it has.
        trained = (path.parent.name,)
        of_trained = replace(plan.teaching, teachers=trained, stated=statements.parse(trained, {}))
        ensemble = teacher_setup.teacher(replace(plan, teaching=of_trained), data, terminal)
        teacher_setup.soft_labels(of_trained, data, views, ensemble, terminal)
    if out is not None:
        model, spec = keras_file.load(path)
        path = Path(out) / cached_teachers.TEACHER_FILE
        keras_file.save(model, path, spec)
    terminal.say(f"Teacher: {path}")
    return path


def _start_name(plan: Plan) -> str | None:
    """The architecture of the file to start from, or the file's own name where it is a foreign
    one.
    """
    if plan.teacher.start is None:
        return None
    path = plan.teacher.start.path
    own = keras_file.load(path)[0].name
    return own if own in models.names() else Path(path).stem
