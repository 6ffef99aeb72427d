"""Users' corrections: checked, and stored so that readers of the folder never see half an entry.

An entry is FOLDER/<id>/image.<jpg|png|webp|ppm|bmp> and FOLDER/<id>/feedback.json, in the format of
clients/gateway/operation.md, which training reads.
"""

import errno
import json
import secrets
import shutil
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from clients.gateway.problems import FULL, UNFITTING, WRONG_TYPE, ProblemError
from clients.gateway.schema import Box, FoundSign, Name
from traffic_sign_client import SignClass
from traffic_sign_client.errors import ClientError
from traffic_signs.atomic_write import sync_folder, write_synced

SCHEMA = 2
SUFFIXES = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "PPM": "ppm", "BMP": "bmp"}
PARTIAL = ".partial-"
ABANDONED_S = 3600.0  # an older partial entry is not being written any more


class TrueSign(BaseModel):
    """A sign that is in the picture."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    box: Box
    class_id: Annotated[int, Field(ge=0, strict=True, description="Id of its class in /v1/classes.")]
    name: Annotated[
        Name, Field(description="Name of that class in /v1/classes; refused if the class now has another name.")
    ] = ""


class Feedback(BaseModel):
    """The true content of a picture: all of its signs; an empty list for none."""

    model_config = ConfigDict(
        extra="forbid",
        allow_inf_nan=False,
        json_schema_extra={
            "examples": [
                {
                    "signs": [{"box": [102, 80, 134, 112], "class_id": 14}],
                    "request_id": "7d1f0c9a52e84b6e",
                    "comment": "a stop sign, behind a branch",
                }
            ]
        },
    )

    signs: Annotated[list[TrueSign], Field(max_length=256)]
    request_id: Annotated[str, Field(max_length=128, description="Request id of the corrected answer.")] = ""
    answered: Annotated[list[FoundSign], Field(max_length=256, description="The signs of that answer.")] = []
    models: Annotated[
        dict[Annotated[str, Field(max_length=128)], Annotated[str, Field(max_length=32)]],
        Field(max_length=16, description="The models of that answer."),
    ] = {}
    comment: Annotated[str, Field(max_length=2000)] = ""


def parse(text: str, width: int, height: int) -> Feedback:
    """Reads feedback about a picture of this size; raises ProblemError for invalid JSON or a box outside it."""
    try:
        feedback = Feedback.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the part `feedback`"
        raise ProblemError(UNFITTING, f"{where}: {first['msg']}; /docs has an example") from None
    for number, sign in enumerate(feedback.signs):
        left, top, right, bottom = sign.box
        if not (0 <= left < right <= width and 0 <= top < bottom <= height):
            raise ProblemError(
                UNFITTING,
                f"signs.{number}.box is {list(sign.box)}: give left, top, right, bottom in pixels of the upright "
                f"picture, with left < right <= {width} and top < bottom <= {height}",
            )
    return feedback


def with_names(feedback: Feedback, classes: Sequence[SignClass]) -> Feedback:
    """Returns feedback with the names of the served classes, because the ids depend on the served models.

    Raises:
        ProblemError: there is no such class, or it has another name.
    """
    named = []
    for number, sign in enumerate(feedback.signs):
        if sign.class_id >= len(classes):
            raise ProblemError(
                UNFITTING,
                f"signs.{number}.class_id is {sign.class_id}: the models have the classes 0 to {len(classes) - 1}; "
                "/v1/classes lists them",
            )
        name = classes[sign.class_id].name
        if sign.name not in ("", name):
            raise ProblemError(
                UNFITTING,
                f"signs.{number}: class {sign.class_id} is {name!r} and not {sign.name!r}: the models have changed; "
                "request /v1/classes and the answer to the picture again",
            )
        named.append(sign.model_copy(update={"name": name}))
    return feedback.model_copy(update={"signs": named})


class Store:
    """A folder of feedback, created if it is missing; several gateways may share it.

    `reserve` bytes stay free on its disk.

    Raises:
        ClientError: the folder cannot be written.
    """

    def __init__(self, folder: Path, reserve: int) -> None:
        self._folder, self._reserve = folder, reserve
        try:
            folder.mkdir(parents=True, exist_ok=True)
            trial = folder / f"{PARTIAL}{secrets.token_hex(8)}"
            trial.mkdir()
            trial.rmdir()
            self._sweep()
        except OSError as error:
            raise ClientError(
                f"{folder} cannot store feedback ({error.strerror}): give --feedback a folder that can be written"
            ) from error

    def add(self, image: bytes, form: str, feedback: Feedback, classes: Sequence[SignClass] = ()) -> str:
        """Stores an entry on disk and returns its id.

        Args:
            image: the uploaded file.
            form: Pillow's name of its format.
            feedback: its true content, with the names of the signs.
            classes: the served classes, by id; may be empty if there are no signs.

        Raises:
            ProblemError: the format cannot be stored, or the disk is full.
        """
        if form not in SUFFIXES:
            raise ProblemError(WRONG_TYPE, f"{form} cannot be stored: send {', '.join(SUFFIXES)}")
        now = datetime.now(UTC)
        name = f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
        entry: dict[str, Any] = {
            "schema": SCHEMA,
            "id": name,
            "received": now.isoformat(timespec="milliseconds"),
            **feedback.model_dump(mode="json"),
            "classes": [{"name": each.name, "category": each.category} for each in classes],
        }
        text = json.dumps(entry, ensure_ascii=False, indent=1).encode()
        partial = self._folder / f"{PARTIAL}{name}"
        try:
            if shutil.disk_usage(self._folder).free - len(image) - len(text) < self._reserve:
                raise OSError(errno.ENOSPC, "only the reserve is left")
            partial.mkdir()
            write_synced(partial / f"image.{SUFFIXES[form]}", image)
            write_synced(partial / "feedback.json", text)
            sync_folder(partial)
            partial.rename(self._folder / name)
            sync_folder(self._folder)
        except BaseException as error:
            shutil.rmtree(partial, ignore_errors=True)
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise ProblemError(FULL, "the disk for feedback is full: try again later") from error
            raise
        return name

    def _sweep(self) -> None:
        """Removes partial entries of killed gateways."""
        for path in self._folder.glob(f"{PARTIAL}*"):
            try:
                if time.time() - path.stat().st_mtime > ABANDONED_S:
                    shutil.rmtree(path)
            except FileNotFoundError:
                pass  # another gateway removed it
