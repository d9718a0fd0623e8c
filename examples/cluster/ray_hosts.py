"""The same kerakd command in several processes of a Ray cluster, which Ray Train starts again when
one is lost; the command then goes on where it stopped.

    .venv/bin/python examples/cluster/ray_hosts.py 4 distill --data shards:/shared/faces \
        --student C --teacher /shared/teacher.keras --hosts 4 --out /shared/run

So it also starts `kerakd sweep … --storage …`. The cluster is that of RAY_ADDRESS, or else one
on this machine that ends with the command. Each process takes a GPU where the cluster has some.
What processes write goes to Ray's log. All hosts see the folder of `--out`, beside which Ray keeps
what it needs. Needs Linux and: pip install 'keras-kd[ray,jax]'.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import ray
from ray import train
from ray.train.collective import broadcast_from_rank_zero
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

RESTARTS = 10


def _beginning(out: Path) -> tuple[str, bool]:
    """An address of this host that is free, and whether the run has begun."""
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
    return f"{ray.util.get_node_ip_address()}:{port}", (out / "config.toml").exists()


def process(given: dict[str, Any]) -> None:
    """Be one of the processes; an error makes Ray Train start them all again."""
    number = train.get_context().get_world_rank()
    # One process looks, as the head makes the folder soon.
    own = _beginning(Path(given["out"])) if number == 0 else None
    head, begun = broadcast_from_rank_zero(own)
    command = [sys.executable, "-P", "-m", "keras_kd", *given["arguments"]]
    if begun and given["arguments"][0] == "distill":
        command.append("--resume")
    # A killed worker of Ray leaves no process behind, which would hold the run's folder.
    done = subprocess.run(
        ["setpriv", "--pdeathsig", "KILL", *command],
        env=os.environ | {"KERAKD_HEAD": head, "KERAKD_HOST": str(number)},
    )
    if done.returncode:
        raise RuntimeError(f"Process {number} of kerakd ended with {done.returncode}: see above.")


def main() -> None:
    """Start the processes, and wait until all have ended well."""
    count, arguments = int(sys.argv[1]), sys.argv[2:]
    out = Path(arguments[arguments.index("--out") + 1]).resolve()
    here = {} if "RAY_ADDRESS" in os.environ else {"address": "local", "num_cpus": count}
    ray.init(include_dashboard=False if here else None, **here)
    trainer = DataParallelTrainer(
        process,
        train_loop_config={"arguments": arguments, "out": str(out)},
        scaling_config=train.ScalingConfig(
            num_workers=count, use_gpu=bool(ray.cluster_resources().get("GPU"))
        ),
        run_config=train.RunConfig(
            name=out.name,
            storage_path=str(out.with_name(f"{out.name}-ray")),
            failure_config=train.FailureConfig(max_failures=RESTARTS),
        ),
    )
    trainer.fit()


if __name__ == "__main__":
    main()
