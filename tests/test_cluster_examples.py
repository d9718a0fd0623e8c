"""The Slurm script and the Kubernetes manifest: they parse, and name options that exist."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest
from keras_kd.cli.main import kerakd

from keras_kd._common import hosts

FOLDER = Path(__file__).parents[1] / "examples" / "cluster"


def _options() -> set[str]:
    command = kerakd.get_command(click.Context(kerakd), "distill")
    return {name for option in command.params for name in option.opts}


@pytest.mark.parametrize("name", ["distill.slurm", "kubernetes.yaml"])
def test_the_command_has_these_options(name: str) -> None:
    text = (FOLDER / name).read_text().replace("\\\n", " ")
    command = text[text.index("kerakd distill ") :].split("resources:")[0]
    used = set(re.findall(r"--[a-z-]+", command))
    assert {"--hosts", "--out", "--resume"} <= used | {"--resume"} and used <= _options()
    assert hosts.HEAD in text


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_reads_the_slurm_script() -> None:
    script = FOLDER / "distill.slurm"
    subprocess.run(["bash", "-n", script], check=True)
    text = script.read_text()
    tasks = re.search(r"--ntasks=(\d+)", text)
    assert tasks and f"--hosts {tasks[1]} " in text and "SLURM_PROCID" in hosts.NUMBERS


def test_the_manifest_is_an_indexed_job_of_as_many_pods_as_hosts() -> None:
    yaml = pytest.importorskip("yaml")
    service, job = yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text())
    spec = job["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    assert spec["completionMode"] == "Indexed" and spec["completions"] == spec["parallelism"]
    assert f"--hosts {spec['completions']} " in container["args"][0]
    head = next(one["value"] for one in container["env"] if one["name"] == hosts.HEAD)
    name, port = job["metadata"]["name"], service["spec"]["ports"][0]["port"]
    assert head == f"{name}-0.{pod['subdomain']}:{port}"
    assert service["metadata"]["name"] == pod["subdomain"]
    assert service["spec"]["selector"] == {"job-name": name}
    assert "JOB_COMPLETION_INDEX" in hosts.NUMBERS
