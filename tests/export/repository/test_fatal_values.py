"""Values that would end the whole server are refused before any server sees them; whatever it survives passes."""

import shutil
from pathlib import Path

import pytest
from tritonclient.grpc import model_config_pb2 as pb

from export.config import Serving, to_text
from export.errors import RepositoryError
from export.repository import publish, versions
from export.repository.fatal_values import check_values
from export.repository.verification import check_hardware, verify
from tests.network_configs import classifier_config

SHRINKAGE = "memory.enable_memory_arena_shrinkage"


def config(target: str = "auto", **parameters: str) -> pb.ModelConfig:
    made = classifier_config("m", 48, 43, Serving(8, target=target))  # type: ignore[arg-type]
    for key, value in parameters.items():
        made.parameters[key].string_value = value
    return made


def with_accelerator(**parameters: str) -> pb.ModelConfig:
    made = classifier_config("m", 48, 43, Serving(8, target="gpu", tensorrt=True))
    made.optimization.execution_accelerators.gpu_execution_accelerator[0].parameters.update(parameters)
    return made


@pytest.mark.parametrize(
    ("fatal", "reason"),
    [
        (config(intra_op_thread_count="99999999999"), r"intra_op_thread_count is '99999999999': give less than 2\^31"),
        (config(inter_op_thread_count="100000"), "inter_op_thread_count is '100000': give 1024 or less"),
        (config(execution_mode=" -4294967296 s"), "execution_mode"),
        (config(cudnn_conv_algo_search="2147483648"), "cudnn_conv_algo_search"),
        (config(**{SHRINKAGE: "nonsense"}), "give cpu:0"),
        (config(**{SHRINKAGE: "cpu:1"}), "give cpu:0"),
        (config(**{SHRINKAGE: "cpu:0", "enable_mem_arena": "False"}), "enable_mem_arena leaves that arena out"),
        (config(**{SHRINKAGE: "cpu:0;gpu:0"}), "may run without a GPU"),
        (with_accelerator(trt_min_subgraph_size="9999999999"), "trt_min_subgraph_size"),
        (with_accelerator(max_workspace_size_bytes="99999999999999999999"), r"less than 2\^64"),
    ],
)
def test_a_value_that_ends_the_server_is_named(fatal: pb.ModelConfig, reason: str) -> None:
    with pytest.raises(RepositoryError, match=reason):
        check_values(fatal, "m/config.pbtxt")


@pytest.mark.parametrize(
    "harmless",
    [
        config(intra_op_thread_count="-1", inter_op_thread_count="1.5", execution_mode="many"),
        config(**{SHRINKAGE: "cpu:0"}),
        config(**{SHRINKAGE: ""}),
        config("gpu", **{SHRINKAGE: "cpu:0;gpu:0"}),
        with_accelerator(max_workspace_size_bytes=str(2**40)),
        pb.ModelConfig(
            backend="python", parameters={"intra_op_thread_count": pb.ModelParameter(string_value="9" * 11)}
        ),
    ],
)
def test_what_the_server_survives_passes(harmless: pb.ModelConfig) -> None:
    check_values(harmless, "m/config.pbtxt")


def test_nothing_is_published_with_such_a_value(tmp_path: Path) -> None:
    shared = {"config.pbtxt": to_text(config(intra_op_thread_count="99999999999")), "labels.txt": ""}
    with pytest.raises(RepositoryError, match="would end the whole server"):
        publish(tmp_path, "m", {"model.onnx": b"weights"}, shared, {})
    assert versions(tmp_path, "m") == []


def test_nor_is_a_configuration_beside_the_versions_or_to_choose_from_served(tmp_path: Path) -> None:
    publish(tmp_path, "m", {"model.onnx": b"weights"}, {"config.pbtxt": to_text(config()), "labels.txt": ""}, {})
    edited = to_text(config(**{SHRINKAGE: "nonsense"}))
    for name in ("config.pbtxt", "configs/gpu.pbtxt"):
        copy = tmp_path / "copies" / Path(name).stem
        shutil.copytree(tmp_path / "m", copy / "m")
        (copy / "m" / name).parent.mkdir(exist_ok=True)
        (copy / "m" / name).write_text(edited)
        with pytest.raises(RepositoryError, match=f"{name} would end the whole server"):
            check_hardware(copy)
    problems = [problem for check in verify(tmp_path / "copies" / "config") for problem in check.problems]
    assert len(problems) == 1 and "would end the whole server" in problems[0]
