"""What a running server answers about pictures: the signs of photographs, or the classes of pictures of one sign."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import islice
from typing import Any

import numpy as np

from clients.prediction.annotate import Copies
from traffic_sign_client.answers import Photograph
from traffic_sign_client.client import SignClient
from traffic_sign_client.errors import RefusedError
from traffic_signs.pictures import Picture
from traffic_signs.preprocessing import ImageError, decode, resize

Result = dict[str, Any]
CROPS_AT_ONCE = 64


def recognized(
    pictures: Iterable[Picture],
    client: SignClient,
    threshold: float | None,
    concurrency: int,
    copies: Copies | None,
) -> Iterator[Result]:
    """Finds the signs of pictures on a server, several at the same time.

    They are read only as fast as they are answered. Without a threshold, the lowest detection score that counts, the
    server's is taken; `copies` gets copies with the signs drawn in.

    Yields:
        For each picture, in order, `image`, `frame` for one of a video, and `signs`: a list of `box` (left, top, right,
        bottom in pixels), `score`, `category`, `class_id`, `class_score` and `name`, by descending score; `annotated`,
        the path of the copy, if there is one. A picture that cannot be read has `error` instead of `signs`.

    Raises:
        ClientError: the server does not answer.
        OSError: a copy cannot be written.
    """
    waiting: deque[Picture] = deque()

    def contents() -> Iterator[Photograph]:
        for picture in pictures:
            waiting.append(picture)
            if not picture.problem:
                yield picture.content

    def unread() -> Iterator[Result]:
        while waiting and waiting[0].problem:
            picture = waiting.popleft()
            yield {**_named(picture), "error": picture.problem}

    for answer in client.stream(contents(), threshold, concurrency):
        yield from unread()
        picture = waiting.popleft()
        if isinstance(answer, RefusedError):
            yield {**_named(picture), "error": str(answer)}
            continue
        result = {**_named(picture), "signs": [asdict(sign) for sign in answer]}
        if copies is not None:
            result["annotated"] = str(copies.add(picture, answer))
        yield result
    yield from unread()


def classified(pictures: Iterable[Picture], client: SignClient, top: int) -> Iterator[Result]:
    """Classifies pictures of one sign each on a server.

    Yields:
        For each picture, in order, `image` and `predictions`: a list of `class_id`, `name` and `score`, best first. A
        picture that cannot be read has `error` instead of `predictions`.

    Raises:
        ClientError: the server does not answer.
    """
    remaining = iter(pictures)
    while group := list(islice(remaining, CROPS_AT_ONCE)):
        results, decoded = [], []
        for picture in group:
            result: Result = _named(picture)
            results.append(result)
            try:
                if picture.problem:
                    result["error"] = picture.problem
                else:
                    decoded.append((result, decode(bytes(picture.content))))
            except ImageError as error:
                result["error"] = f"it cannot be read: {error}"
        if decoded:
            size = client.input_size()
            crops = np.stack([resize(image, size) for _, image in decoded])
            for (result, _), answer in zip(decoded, client.classify(crops, top), strict=True):
                result["predictions"] = [asdict(each) for each in answer]
        yield from results


def _named(picture: Picture) -> Result:
    return {"image": picture.name} | ({} if picture.frame is None else {"frame": picture.frame})
