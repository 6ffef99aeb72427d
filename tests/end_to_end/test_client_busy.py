"""The clients against a real tritonserver whose models take their time: order, back-pressure, limits, cancelling."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from serving.server import RunningServer
from tests.end_to_end.asking import WAYS, Client, ask, streamed
from tests.end_to_end.street import PROTOCOLS, address
from tests.slow_recognizer import asked, wait_until_noted
from traffic_sign_client import AsyncSignClient, Sign, SignClient
from traffic_sign_client.connection import Protocol
from traffic_sign_client.errors import ClientError, OverloadedError, RefusedError, TimedOutError

pytestmark = pytest.mark.end_to_end

BUSY = "busy_recognizer"


@pytest.fixture(autouse=True)
def _unread(slow_repository: Path) -> None:
    for name in ("sign_recognizer", BUSY):
        asked(slow_repository, name)


@pytest.mark.parametrize(("kind", "protocol"), WAYS)
def test_answers_keep_the_order_of_the_photographs_and_not_their_own(
    slow_server: RunningServer, slow_repository: Path, kind: type[Client], protocol: Protocol
) -> None:
    images = [b"0.6 0", b"0 1", b"0 2", b"0 bad", b"0.2 4", *(b"0 %d" % number for number in range(5, 12))]

    answers = ask(kind, protocol, slow_server, lambda client: streamed(client, images, concurrency=4))

    refused = answers.pop(3)
    assert isinstance(refused, RefusedError) and "cannot be read" in str(refused)
    assert [sign.name for (sign,) in answers] == ["0", "1", "2", *map(str, range(4, 12))]
    order = asked(slow_repository, "sign_recognizer")
    assert order.index("2 done") < order.index("0 done") < order.index("11 begun")


@pytest.mark.parametrize(("kind", "protocol"), WAYS)
def test_no_more_photographs_are_taken_than_are_in_work(
    slow_server: RunningServer, kind: type[Client], protocol: Protocol
) -> None:
    """The photographs never end: who read them all would never answer."""
    taken = answered = most = 0

    def photographs() -> Iterator[bytes]:
        nonlocal taken, most
        while True:
            taken += 1
            most = max(most, taken - answered)
            yield b"0 %d" % taken

    def waiting(client: SignClient) -> None:
        nonlocal answered
        for answer in client.stream(photographs(), concurrency=3):
            assert not isinstance(answer, RefusedError)
            answered += 1
            assert answer[0].name == str(answered)
            if answered == 20:
                return

    async def awaiting(client: AsyncSignClient) -> None:
        nonlocal answered
        stream = client.stream(photographs(), concurrency=3)
        async for answer in stream:
            assert not isinstance(answer, RefusedError)
            answered += 1
            assert answer[0].name == str(answered)
            if answered == 20:
                break
        await stream.aclose()

    ask(kind, protocol, slow_server, waiting if kind is SignClient else awaiting)
    assert most == 3


def test_photographs_that_must_be_awaited_come_from_an_asynchronous_iterable(slow_server: RunningServer) -> None:
    async def run() -> list[str]:
        queue: asyncio.Queue[bytes] = asyncio.Queue()

        async def photographs() -> AsyncIterator[bytes]:
            while (image := await queue.get()) != b"end":
                yield image

        async with AsyncSignClient(slow_server.grpc_url) as client:
            names = []
            queue.put_nowait(b"0 0")
            async for answer in client.stream(photographs(), concurrency=1):
                assert not isinstance(answer, RefusedError)
                names.append(answer[0].name)
                queue.put_nowait(b"0 %d" % len(names) if len(names) < 3 else b"end")
            return names

    assert asyncio.run(run()) == ["0", "1", "2"]


@pytest.mark.parametrize(("kind", "protocol"), WAYS)
def test_a_problem_of_the_server_ends_a_stream(
    slow_server: RunningServer, kind: type[Client], protocol: Protocol
) -> None:
    with pytest.raises(TimedOutError):
        ask(
            kind,
            protocol,
            slow_server,
            lambda client: streamed(client, [b"0 0", b"2 1", b"0 2"], concurrency=2),
            timeout=1.0,
        )


async def persist(client: AsyncSignClient, image: bytes) -> str:
    """Asks until there is an answer, by a client that is not patient enough for every machine."""
    while True:
        with contextlib.suppress(TimedOutError):
            return (await client.recognize(image))[0].name


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("shared_memory", [False, True])
def test_what_timed_out_is_asked_once_and_the_next_is_answered(
    slow_server: RunningServer, slow_repository: Path, protocol: Protocol, shared_memory: bool
) -> None:
    async def question(client: AsyncSignClient) -> None:
        assert await persist(client, b"0 first") == "first"
        with pytest.raises(TimedOutError, match=r"within 0\.5 s"):
            await client.recognize(b"1 late", request_id="the-late-one")
        assert await persist(client, b"0 next") == "next"

    ask(AsyncSignClient, protocol, slow_server, question, timeout=0.5, retries=5, shared_memory=shared_memory)
    wait_until_noted(slow_repository, "sign_recognizer", "late done")
    notes = asked(slow_repository, "sign_recognizer")
    assert [note for note in notes if "late begun" in note] == ["late begun the-late-one"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_request_may_have_a_time_of_its_own(
    slow_server: RunningServer, slow_repository: Path, protocol: Protocol
) -> None:
    def question(client: SignClient) -> None:
        assert client.recognize(b"0.2 first")[0].name == "first"
        with pytest.raises(TimedOutError, match=r"within 0\.1 s"):
            client.recognize(b"1 late", timeout=0.1)
        assert client.recognize(b"0.2 next")[0].name == "next"

    ask(SignClient, protocol, slow_server, question)
    wait_until_noted(slow_repository, "sign_recognizer", "late done")


async def occupy(client: AsyncSignClient, repository: Path) -> "asyncio.Task[list[list[Sign]]]":
    """Gives the busy model more to do than it can begin with."""

    async def wait() -> list[list[Sign]]:
        return list(
            await asyncio.gather(
                *(client.recognize(b"%.1f %d" % (0.2 if number else 1.5, number)) for number in range(3))
            )
        )

    task = asyncio.create_task(wait())
    await asyncio.to_thread(wait_until_noted, repository, BUSY, "0 begun")
    await asyncio.sleep(0.1)
    return task


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_server_drops_what_waits_in_its_queue_when_its_time_is_up(
    slow_server: RunningServer, slow_repository: Path, protocol: Protocol
) -> None:
    """The model's queue policy says so, and the time limit of the request reaches it over both protocols."""
    url = address(slow_server, protocol)

    async def run() -> None:
        async with (
            AsyncSignClient(url, protocol, recognizer=BUSY) as patient,
            AsyncSignClient(url, protocol, recognizer=BUSY, timeout=0.2) as client,
        ):
            assert await client.ready(BUSY)
            await persist(client, b"0 first")
            task = await occupy(patient, slow_repository)
            with pytest.raises(TimedOutError):
                await client.recognize(b"0 late")
            await task
            await patient.recognize(b"0 last")

    asyncio.run(run())
    notes = asked(slow_repository, BUSY)
    assert "last done" in notes and "late begun" not in notes


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_cancelled_request_leaves_nothing_behind(
    slow_server: RunningServer, slow_repository: Path, protocol: Protocol
) -> None:
    async def run() -> None:
        async with AsyncSignClient(
            address(slow_server, protocol), protocol, recognizer=BUSY, shared_memory=True
        ) as client:
            await client.recognize(b"0 first")
            task = await occupy(client, slow_repository)
            cancelled = asyncio.create_task(client.recognize(b"0 cancelled"))
            await asyncio.sleep(0.05)
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
            assert len(await task) == 3
            assert (await client.recognize(b"0 last"))[0].name == "last"

    asyncio.run(run())
    notes = asked(slow_repository, BUSY)
    if protocol == "grpc":  # over HTTP Triton does not notice that nobody waits any more
        assert "cancelled begun" not in notes


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_too_many_requests_are_refused_and_a_retry_gets_through(slow_server: RunningServer, protocol: Protocol) -> None:
    url = address(slow_server, protocol)

    async def flood(retries: int) -> list[object]:
        async with AsyncSignClient(url, protocol, recognizer=BUSY, retries=retries) as client:
            await client.recognize(b"0 first")
            questions = (client.recognize(b"0.1 %d" % number) for number in range(12))
            return list(await asyncio.gather(*questions, return_exceptions=True))

    answers = asyncio.run(flood(retries=0))
    refused = [answer for answer in answers if isinstance(answer, Exception)]
    assert refused and len(refused) < len(answers)
    assert {type(error) for error in refused} == {OverloadedError}
    assert "ask later, or less at once" in str(refused[0])
    assert not any(isinstance(answer, Exception) for answer in asyncio.run(flood(retries=100)))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_stream_that_is_left_early_cancels_what_is_in_work(slow_server: RunningServer, protocol: Protocol) -> None:
    client = SignClient(address(slow_server, protocol), protocol, timeout=120)
    stream = client.stream([b"0 0", b"3 1", b"3 2"], concurrency=3)
    assert next(stream)[0].name == "0"  # type: ignore[index]
    stream.close()
    client.close()
    with pytest.raises(ClientError, match="closed"):
        client.recognize(b"0 3")
