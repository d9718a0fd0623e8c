"""The student's training by several processes on several hosts.

The head, process 0, runs the whole program. It trains in a process of its own on JAX, which every
other host joins; these read what to do from the run's folder, which all hosts must see, and the
teacher's outputs from where the head stored them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import keras

from keras_kd._common import hosts, run_files, stderr
from keras_kd._common.checked_files import read_json, read_text
from keras_kd._common.files import write_text
from keras_kd._common.progress import Terminal
from keras_kd.datasets import splits
from keras_kd.errors import KerasKDError, TrainingError
from keras_kd.models import keras_file
from keras_kd.models.spec import ModelSpec
from keras_kd.pipelines import plan as planning
from keras_kd.pipelines import teacher_setup
from keras_kd.pipelines.plan import Plan
from keras_kd.pipelines.supervision import student_job
from keras_kd.training import job

MODEL, HISTORY = "joint.keras", "joint.json"


def train(plan: Plan, out: Path) -> tuple[keras.Model, list[dict[str, float]]]:
    """Train the student of the run in a folder together with the other hosts.

    Args:
        plan: the run's plan.
        out: the run's folder.

    Returns:
        The student and its history, as `job.train`.

    Raises:
        TrainingError: a process of the training ended before its end.
    """
    follow(plan.hosts, out)
    history = read_json(read_text(out / run_files.STATE / HISTORY), [dict])
    return keras_file.load(out / run_files.STATE / MODEL)[0], history


def follow(count: int, out: Path) -> None:
    """Take part in the training of the run in a folder, until it ends.

    Args:
        count: the number of processes that train together.
        out: the run's folder, which may be made by the head meanwhile.

    Raises:
        TrainingError: the training ended before its end.
    """
    own = hosts.place(count)
    environment = {**os.environ, "KERAS_BACKEND": "jax", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [
        sys.executable,
        "-P",
        "-m",
        "keras_kd.pipelines.joint",
        str(out.resolve()),
        str(count),
        str(os.getpid()),
    ]
    done = subprocess.run(command, env=environment)
    if done.returncode:
        raise TrainingError(
            f"The training of {count} processes ended in process {own.number} before its end, here"
            " or because another one was lost: start the same command with --resume on every host."
        )


def member(out: Path, own: hosts.Place) -> None:
    """Train as one of several processes; the head writes the student and its history.

    Args:
        out: the run's folder.
        own: this process's place; a single process trains alone, on the whole batch.
    """
    if own.count > 1:
        # Returns when the head is here, too, and has made all that is read below.
        hosts.join(own, 0)
    terminal = Terminal(quiet=own.number > 0)
    plan = planning.resolve_recorded(out)
    silent = Terminal(quiet=True)
    # The process that started this one told what is to be told of the data.
    data = splits.load(plan.data.path, plan.data.skip_bad_rows, plan.data.image_size)
    supervision = teacher_setup.prepare(plan, data, silent)
    task = student_job(plan, data, supervision, out / run_files.STATE)
    student, history = job.train(task, plan.training, supervision.data_of_student(data), terminal)
    if own.number == 0:
        spec = ModelSpec(task.heads.class_names or None, input_shape=data.image_shape)
        keras_file.save(student, out / run_files.STATE / MODEL, spec)
        write_text(out / run_files.STATE / HISTORY, json.dumps(history))
    hosts.wait_for_all("written")


def _end_with(parent: int) -> None:
    """End this process when the one that started it is gone, whoever goes on after it."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def main() -> None:
    """Be one process of a joint training: OUT COUNT PARENT, the last the starting process."""
    stderr.outlive_its_reader()
    out, count, parent = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    try:
        own = hosts.place(count) if count > 1 else hosts.Place(0, 1, "")
        member(out, replace(own, count=count))
    except KerasKDError as error:
        sys.stderr.write(f"{error}\n")
        sys.stderr.flush()
        # JAX would wait for the others, which wait for this process.
        os._exit(error.exit_code)


if __name__ == "__main__":
    main()
