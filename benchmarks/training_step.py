"""What makes a training step fast or slow: one change at a time, each in a process of its own.

    .venv/bin/python benchmarks/training_step.py [--seconds 5]

Prints Markdown: images a second of processor time, which other work on the machine disturbs little,
and of wall time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time

from keras_kd._common import hardware

BASE = {
    "model": "C",
    "batch": 128,
    "policy": "float32",
    "fused": True,
    "dropout": 0.05,
    "jit": False,
    "steps": 1,
}
VARIANTS: list[tuple[str, dict, dict]] = [
    ("as `kerakd distill` trains it", {}, {}),
    ("Keras' own batch normalisation", {"fused": False}, {}),
    ("no dropout (another model)", {"dropout": 0.0}, {}),
    ("published shape, dead taps included", {"compact": False}, {}),
    ("batch 16", {"batch": 16}, {}),
    ("batch 32", {"batch": 32}, {}),
    ("batch 64", {"batch": 64}, {}),
    ("batch 256", {"batch": 256}, {}),
    ("steps_per_execution 8", {"steps": 8}, {}),
    ("mixed_bfloat16", {"policy": "mixed_bfloat16"}, {}),
    ("jit_compile (XLA)", {"jit": True}, {}),
    ("convolutions limited to AVX2", {}, {"ONEDNN_MAX_CPU_ISA": "AVX2"}),
    ("without oneDNN", {}, {"TF_ENABLE_ONEDNN_OPTS": "0"}),
    (
        "one thread",
        {},
        {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "OMP_NUM_THREADS": "1"},
    ),
    ("B, float32", {"model": "B"}, {}),
    ("B, mixed_bfloat16", {"model": "B", "policy": "mixed_bfloat16"}, {}),
    ("A, float32", {"model": "A"}, {}),
    ("A, mixed_bfloat16", {"model": "A", "policy": "mixed_bfloat16"}, {}),
    ("ResEmoteNet, float32", {"model": "resemotenet"}, {}),
    ("ResEmoteNet, mixed_bfloat16", {"model": "resemotenet", "policy": "mixed_bfloat16"}, {}),
]


def measure(options: dict, seconds: float) -> tuple[float, float]:
    """Images a second of processor and of wall time, in this process."""
    import keras
    import numpy as np

    import keras_kd
    from keras_kd.models.surgery import precision
    from keras_kd.models.surgery.batch_norm import fused
    from keras_kd.teachers.views import Views
    from keras_kd.training.batches import TrainingBatches

    keras_kd.tune_allocator()
    model = keras_kd.models.build(
        options["model"], 7, (64, 64, 1), (options["dropout"], options["dropout"]), seed=0
    )
    model = keras_kd.compact(model) if options.get("compact", True) else model
    model = precision.with_policy(model, options["policy"])
    distiller = keras_kd.Distiller(fused(model) if options["fused"] else model)
    distiller.compile(
        keras.optimizers.SGD(0.01, 0.9),
        metrics=["accuracy"],
        jit_compile=options["jit"],
        steps_per_execution=options["steps"],
    )
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (1024, 64, 64, 1), dtype=np.uint8)
    logits = random.normal(size=(1024, 2, 7)).astype(np.float16)
    batches = TrainingBatches(
        images, random.integers(0, 7, 1024), Views("mirror", 1024), options["batch"], 0, logits
    )

    def train(steps: int) -> None:
        distiller.fit(batches.from_step(0, 0), steps_per_epoch=steps, verbose=0, shuffle=False)

    steps = max(8, 1024 // options["batch"] // 8 * 8)
    train(8)
    shown, processor, wall = 0, time.process_time(), time.perf_counter()
    while time.perf_counter() - wall < seconds:
        train(steps)
        shown += steps * options["batch"]
    return shown / (time.process_time() - processor), shown / (time.perf_counter() - wall)


def main() -> None:
    """Measure all variants and print them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only:
        print(json.dumps(measure(json.loads(given.only), given.seconds)))
        return
    print(f"{hardware.describe()}\n")
    print(
        "| Student C, batch 128, float32, unless said otherwise | images / CPU second | images"
        " / s |"
    )
    print("| --- | ---: | ---: |")
    for title, changes, environment in VARIANTS:
        command = [
            sys.executable,
            __file__,
            "--seconds",
            str(given.seconds),
            "--only",
            json.dumps(BASE | changes),
        ]
        done = subprocess.run(
            command,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            print(f"| {title} | failed: {done.stderr.strip().splitlines()[-1]} | |", flush=True)
            continue
        processor, wall = json.loads(done.stdout.strip().splitlines()[-1])
        print(f"| {title} | {processor:,.0f} | {wall:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
