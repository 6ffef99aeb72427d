"""The example for Kubeflow Trainer: its command trains one network on two nodes, as the operator would start them.

There is no cluster here: both nodes are processes of this machine, on CPUs through gloo, with the variables that the
operator's runtime sets.
"""

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.training.tiny_gtsdb import TinyGtsdb
from training.checkpoint import load_checkpoint

ROOT = Path(__file__).parents[2]


def trainer() -> dict[str, Any]:
    job = yaml.safe_load((ROOT / "training" / "trainjob.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("trainer.kubeflow.org/v1alpha1", "TrainJob")
    found: dict[str, Any] = job["spec"]["trainer"]
    return found


def test_the_image_is_that_of_this_release() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert trainer()["image"] == f"traffic-signs/training:{version}"


@pytest.mark.timeout(600)
def test_its_command_trains_one_network_on_two_nodes(gtsdb: TinyGtsdb, tmp_path: Path, free_port: int) -> None:
    job = trainer()
    command = [f"--data=gtsdb={gtsdb.folder}" if each.startswith("--data=") else each for each in job["command"]]
    command += ["--epochs=2", "--batch-size=4", "--device=cpu", "--runs=runs"]
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
        "PET_NNODES": str(job["numNodes"]),
        "PET_NPROC_PER_NODE": "1",
        "PET_MASTER_ADDR": "127.0.0.1",
        "PET_MASTER_PORT": str(free_port),
    }
    nodes = []
    for rank in range(job["numNodes"]):
        (tmp_path / str(rank)).mkdir()
        with (tmp_path / f"{rank}.log").open("wb") as log:
            own = {**environment, "PET_NODE_RANK": str(rank)}
            nodes.append(subprocess.Popen(command, env=own, cwd=tmp_path / str(rank), stdout=log, stderr=log))
    try:
        codes = [node.wait(240) for node in nodes]
    finally:
        for node in nodes:
            node.kill()
    assert codes == [0, 0], "\n".join(path.read_text()[-3000:] for path in sorted(tmp_path.glob("*.log")))
    assert load_checkpoint(tmp_path / "0" / "runs" / "gtsrb" / "checkpoint")
    assert not list((tmp_path / "1").rglob("*.safetensors")), "only the first process writes"
