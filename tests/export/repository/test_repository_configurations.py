"""Configurations for other hardware beside config.pbtxt: they follow the champion, are checked, signed and pulled."""

from pathlib import Path

import pytest

from export.errors import RepositoryError
from export.repository import promote, publish
from export.repository.policy import read_config, served
from export.repository.publishing import withdraw
from export.repository.pull import pull
from export.repository.signing import Signer
from export.repository.store import open_store
from export.repository.verification import check_served, verify
from tests.export.repository.samples import FACTS, shared, tree
from tests.fixture_types import Signs

GPU = "configs/gpu.pbtxt"


def publish_both(
    place: Path | str, batch: int = 64, gpu: int = 0, signer: Signer | None = None, kind: str = "CPU"
) -> int:
    """Publishes a version whose configuration for GPUs has another largest batch; with 0 it has none."""
    files = shared(batch)
    if gpu:
        text = files["config.pbtxt"].replace(f"max_batch_size: {batch}", f"max_batch_size: {gpu}")
        files[GPU] = text + f"instance_group {{ kind: KIND_{kind} }}\n"
    return publish(place, "m", {"model.onnx": bytes([batch, gpu])}, files, FACTS, signer).version


def batches(place: Path, name: str = GPU) -> tuple[int, list[int]]:
    """Returns largest batch and served versions of a configuration beside the versions."""
    config = read_config((place / "m" / name).read_bytes(), "")
    return config.max_batch_size, served(config, [1, 2, 3])


def problems(place: Path | str) -> list[str]:
    return [text for check in verify(place) for text in (*check.problems, *check.notices)]


def test_all_configurations_follow_the_champion(tmp_path: Path) -> None:
    publish_both(tmp_path, 64, 16)
    assert batches(tmp_path) == (16, [3])
    promote(tmp_path, "m", 1, "")
    publish_both(tmp_path, 64, 32)
    assert batches(tmp_path) == (16, [1]) and batches(tmp_path, "config.pbtxt") == (64, [1])
    promote(tmp_path, "m", 2, "")
    assert batches(tmp_path) == (32, [2]) and not problems(tmp_path)


def test_what_the_champion_has_none_of_goes_away(tmp_path: Path) -> None:
    publish_both(tmp_path, 64, 16)
    publish_both(tmp_path, 64)
    assert not (tmp_path / "m" / GPU).exists(), "or a server would take the one of another version"
    promote(tmp_path, "m", 1, "")
    assert batches(tmp_path) == (16, [1])
    promote(tmp_path, "m", 2, "")
    assert not (tmp_path / "m" / GPU).exists() and not problems(tmp_path)
    withdraw(tmp_path, "m", 1)
    assert not problems(tmp_path)


def test_a_bucket_holds_them_as_a_folder_does(place: str) -> None:
    publish_both(place, 64, 16)
    assert GPU in open_store(place).shared_files("m")
    publish_both(place, 64)
    assert GPU not in open_store(place).shared_files("m")
    promote(place, "m", 1, "")
    assert read_config(open_store(place).read(f"m/{GPU}"), "").max_batch_size == 16
    assert not problems(place)


def test_one_that_is_altered_is_found(tmp_path: Path) -> None:
    publish_both(tmp_path, 64, 16)
    promote(tmp_path, "m", 1, "")
    path = tmp_path / "m" / GPU
    path.write_text(path.read_text().replace("16", "8"))
    assert any("gpu.pbtxt is not that of the champion" in text for text in problems(tmp_path))
    assert any("gpu.pbtxt is not that of version 1" in text for text in check_served(tmp_path))
    promote(tmp_path, "m", 1, "")
    assert batches(tmp_path) == (16, [1]), "promoting again mends it"
    (tmp_path / "m" / "1" / GPU).write_text("")
    with pytest.raises(RepositoryError, match=r"gpu.pbtxt is not the file that was published"):
        check_served(tmp_path)


def test_a_signature_covers_them(tmp_path: Path, keys: Path) -> None:
    public_key = keys / "release.pub"
    publish_both(tmp_path, 64, 16, Signer(keys / "release.pem"))
    check_served(tmp_path, public_key)
    path = tmp_path / "m" / GPU
    path.write_text(path.read_text().replace("16", "8"))
    with pytest.raises(RepositoryError, match=r"gpu.pbtxt is not the one that was signed"):
        check_served(tmp_path, public_key)
    path.unlink()
    with pytest.raises(RepositoryError, match=r"gpu.pbtxt is not the one that was signed"):
        check_served(tmp_path, public_key)


def test_pull_brings_them_and_takes_those_of_before_away(tmp_path: Path) -> None:
    source, place = tmp_path / "source", tmp_path / "models"
    publish_both(source, 64, 16)
    publish_both(source, 64)
    pull(source, place, {"m": [1]})
    assert batches(place) == (16, [1])
    pull(source, place, {"m": [2]})
    assert not (place / "m" / GPU).exists() and not problems(place)
    with pytest.raises(RepositoryError, match="need different configurations"):
        pull(source, place, {"m": [1, 2]})
    pull(source, place, {"m": [1]})
    assert batches(place) == (16, [1])


def test_pull_refuses_what_the_server_could_not_serve(tmp_path: Path, signs: Signs) -> None:
    source, place = tmp_path / "source", tmp_path / "models"
    publish_both(source, 64, 16, kind="GPU")
    pull(source, place, {"m": [1]}, configuration="cpu-4")
    before = tree(place)
    text = shared()["config.pbtxt"].replace('backend: "none"', 'backend: "none"\ninstance_group { kind: KIND_GPU }')
    publish(source, "m", {"model.onnx": b"gpu"}, {**shared(), "config.pbtxt": text}, FACTS)
    code, _, err = signs("repository", "pull", source, place, "--version", "m=2", "--configuration", "cpu-4")
    assert code == 1 and "m needs a GPU, and the configuration cpu-4 is for a server without one" in err
    assert tree(place) == before
    pull(source, place, {"m": [2]}, configuration="gpu")


def test_pull_refuses_a_name_that_no_model_has(tmp_path: Path, signs: Signs) -> None:
    source, place = tmp_path / "source", tmp_path / "models"
    publish_both(source, 64, 16)
    code, _, err = signs("repository", "pull", source, place, "--version", "m", "--configuration", "h100")
    assert code == 1 and "no model has a configuration configs/h100.pbtxt: there is gpu" in err
    assert not (place / "m").exists()
    for name in ("cpu-2", "cpu-16"):  # which a tuned version lacks: it has one configuration for all CPUs
        pull(source, place, {"m": [1]}, configuration=name)


def test_pull_does_not_bring_a_file_for_cpus_to_a_gpu(tmp_path: Path) -> None:
    text = 'name: "m"\nplatform: "onnxruntime_onnx"\nmax_batch_size: 4\nversion_policy { latest { num_versions: 1 } }\n'
    publish(tmp_path / "source", "m", {"model.onnx": b"x"}, {"config.pbtxt": text}, FACTS)
    with pytest.raises(
        RepositoryError, match="m has no file for GPUs, and its configuration would run the one for CPUs"
    ):
        pull(tmp_path / "source", tmp_path / "models", {"m": [1]}, configuration="gpu")
    assert not (tmp_path / "models" / "m").exists()
    pull(tmp_path / "source", tmp_path / "models", {"m": [1]}, configuration="cpu-8")
