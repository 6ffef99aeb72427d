"""Both clients over both protocols against a real tritonserver with the recognizer: the same answers each way."""

import asyncio
import doctest
import functools
import os
import time
from collections.abc import Callable
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from serving.server import RunningServer
from tests.end_to_end.asking import WAYS, Client, ask, streamed
from tests.end_to_end.street import PROTOCOLS, address, boxes_of, encode, street
from traffic_sign_client import AsyncSignClient, SignClient
from traffic_sign_client.answers import Photograph
from traffic_sign_client.connection import Protocol
from traffic_sign_client.errors import ClientError, RefusedError, UnknownModelError
from traffic_sign_client.shared_memory import Regions

pytestmark = pytest.mark.end_to_end

CELLS = [(2, 2), (9, 5)]


def memory() -> set[str]:
    """Names of the regions of shared memory of this process; other tests have theirs at the same time."""
    return {path.name for path in Path("/dev/shm").glob(f"signs-{os.getpid()}-????????????????")}


@pytest.mark.parametrize(("kind", "protocol"), WAYS)
@pytest.mark.parametrize("shared_memory", [False, True])
def test_every_way_has_the_same_answers(
    recognizer_server: RunningServer,
    random_crops: npt.NDArray[np.uint8],
    tmp_path: Path,
    kind: type[Client],
    protocol: Protocol,
    shared_memory: bool,
) -> None:
    """The reference is the client that waits, over gRPC, without shared memory, asked about the encoded photograph."""
    picture = street(CELLS)
    data = encode(picture)
    (tmp_path / "street.png").write_bytes(data)
    with SignClient(recognizer_server.grpc_url) as client:
        expected, probabilities = client.recognize(data), client.probabilities(random_crops)
        predictions = client.classify(random_crops, top=2)
    assert {sign.box for sign in expected} == boxes_of(CELLS)

    def same(question: Callable[[Any], Any]) -> Any:
        return ask(kind, protocol, recognizer_server, question, shared_memory=shared_memory)

    photographs: list[Photograph] = [data, tmp_path / "street.png", str(tmp_path / "street.png"), np.asarray(picture)]
    for photograph in photographs:
        assert same(functools.partial(kind.recognize, image=photograph)) == expected
    assert same(lambda client: client.recognize(data, 0.0)) != expected
    assert np.array_equal(same(lambda client: client.probabilities(random_crops)), probabilities)
    assert same(lambda client: client.classify(random_crops, top=2)) == predictions
    assert same(lambda client: client.input_size()) == 48
    assert memory() == set()


@pytest.mark.parametrize(("kind", "protocol"), WAYS)
@pytest.mark.parametrize("shared_memory", [False, True])
def test_a_stream_keeps_its_order_and_continues_after_what_is_refused(
    recognizer_server: RunningServer, kind: type[Client], protocol: Protocol, shared_memory: bool
) -> None:
    cells = [[(column, row) for row in range(column % 4)] for column in range(12)]
    images = [encode(street(each, seed=number)) for number, each in enumerate(cells)]
    images[5], images[8] = b"no picture", encode(Image.new("RGB", (8, 8)))[:40]

    answers = ask(
        kind,
        protocol,
        recognizer_server,
        lambda client: streamed(client, images, concurrency=5),
        shared_memory=shared_memory,
    )

    assert [isinstance(answer, RefusedError) for answer in answers] == [number in (5, 8) for number in range(12)]
    for number in set(range(12)) - {5, 8}:
        assert {sign.box for sign in answers[number]} == boxes_of(cells[number])
    assert memory() == set()


@pytest.mark.parametrize(("kind", "protocol"), WAYS)
def test_health_and_metadata(recognizer_server: RunningServer, kind: type[Client], protocol: Protocol) -> None:
    def ready(model: str) -> bool:
        return bool(ask(kind, protocol, recognizer_server, lambda client: client.ready(model)))

    assert ready("") and ready("sign_classifier") and ready("sign_classifier/1")
    assert not ready("sign_classifier/7") and not ready("no_such_model")
    metadata = ask(kind, protocol, recognizer_server, lambda client: client.metadata())
    assert metadata["name"] == "triton" and "classification" in metadata["extensions"]
    assert ask(kind, protocol, recognizer_server, lambda client: client.metadata("sign_classifier")) == {
        "name": "sign_classifier",
        "versions": ["1"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "images", "datatype": "UINT8", "shape": [-1, 48, 48, 3]}],
        "outputs": [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 43]}],
    }
    with pytest.raises(UnknownModelError, match="no_such_model"):
        ask(kind, protocol, recognizer_server, lambda client: client.metadata("no_such_model"))


@pytest.mark.parametrize(("kind", "protocol"), WAYS)
def test_a_server_with_one_of_the_models_is_asked_about_that(
    server: RunningServer, random_crops: npt.NDArray[np.uint8], kind: type[Client], protocol: Protocol
) -> None:
    """The one without a recognizer; that a recognizer does not need the client's classifier, the other tests show."""
    assert len(ask(kind, protocol, server, lambda client: client.classify(random_crops[:2]))) == 2
    with pytest.raises(UnknownModelError, match="signs export recognizer"):
        ask(kind, protocol, server, lambda client: client.recognize(b""))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_many_tasks_share_one_client(recognizer_server: RunningServer, protocol: Protocol) -> None:
    async def run() -> None:
        async with AsyncSignClient(address(recognizer_server, protocol), protocol, shared_memory=True) as client:
            images = [encode(street([(number % 16, number % 9)])) for number in range(12)]
            answers = await asyncio.gather(*(client.recognize(image, request_id=str(len(image))) for image in images))
        assert [{sign.box for sign in answer} for answer in answers] == [
            boxes_of([(number % 16, number % 9)]) for number in range(12)
        ]

    asyncio.run(run())
    assert memory() == set()


def forget(triton: InferenceServerClient, region: str) -> None:
    """Takes a region from Triton, which holds on to it until it has let go of the last request that used it."""
    deadline = time.monotonic() + 60
    while True:
        try:
            triton.unregister_system_shared_memory(region)
            return
        except InferenceServerException as error:
            if "currently in use" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_shared_memory_is_used_again_and_given_back(recognizer_server: RunningServer, protocol: Protocol) -> None:
    with (
        InferenceServerClient(recognizer_server.grpc_url) as triton,
        SignClient(address(recognizer_server, protocol), protocol, retries=1, shared_memory=True) as client,
    ):
        small, large = np.asarray(street(CELLS)), np.asarray(street(CELLS, factor=3))
        for _ in range(3):
            client.recognize(small)
        assert len(memory()) == 1
        assert {sign.box for sign in client.recognize(large)} == boxes_of(CELLS, factor=3)
        client.recognize(small)
        with pytest.raises(RefusedError):
            client.recognize(b"no picture")
        regions = {each for each in triton.get_system_shared_memory_status(as_json=True)["regions"] if each in memory()}
        assert regions == memory() and len(regions) == 2
        for region in regions:
            forget(triton, region)  # what a server that was started again knows: none
        assert {sign.box for sign in client.recognize(small)} == boxes_of(CELLS)
        assert {sign.box for sign in client.recognize(large)} == boxes_of(CELLS, factor=3)
        client.close()
        deadline = time.monotonic() + 60  # Triton gives up a region once the last request that used it is gone
        while known := regions & set(triton.get_system_shared_memory_status(as_json=True).get("regions", {})):
            assert time.monotonic() < deadline, known
            time.sleep(0.05)
    assert memory() == set()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_server_that_does_not_see_the_memory_says_what_to_do(
    recognizer_server: RunningServer, protocol: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server on another machine does not find the region; here it has another name while the server looks."""
    register = Regions._register

    async def hidden(regions: Regions, region: SharedMemory, seconds: float) -> None:
        there, elsewhere = Path("/dev/shm", region.name), Path("/dev/shm", f"elsewhere-{region.name}")
        there.rename(elsewhere)
        try:
            await register(regions, region, seconds)
        finally:
            elsewhere.rename(there)

    monkeypatch.setattr(Regions, "_register", hidden)
    with (
        SignClient(address(recognizer_server, protocol), protocol, shared_memory=True) as client,
        pytest.raises(ClientError, match=r"Unable to open.*let it run on this machine.*leave out shared_memory"),
    ):
        client.recognize(encode(street(CELLS)))
    assert memory() == set()


@pytest.mark.parametrize("kind", [SignClient, AsyncSignClient])
def test_the_example_in_the_docstring_runs(
    kind: type[Client],
    recognizer_server: RunningServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "street.jpg").write_bytes(encode(street(CELLS), "JPEG", quality=95))
    monkeypatch.chdir(tmp_path)
    with SignClient(recognizer_server.grpc_url) as client:
        names = [sign.name for sign in client.recognize("street.jpg")]

    examples = doctest.DocTestParser().get_examples(kind.__doc__ or "")
    place: dict[str, object] = {}
    for example in examples:
        exec(example.source.replace("localhost:8001", recognizer_server.grpc_url), place)

    assert len(names) == 2 and all(name in capsys.readouterr().out for name in names[:1])
