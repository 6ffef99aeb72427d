"""Serves the page for people, from the files beside this one: no build step, nothing from elsewhere."""

from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

PAGE = Path(__file__).parent / "page"


class Files(StaticFiles):
    """Files that a browser may keep and asks about each time: it gets 304 where its ETag is still right."""

    def __init__(self) -> None:
        super().__init__(directory=PAGE, check_dir=False)

    async def check_config(self) -> None:
        """Lets a gateway without the files run: each of them is then 404."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Returns a file."""
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        return response


def router(files: Files) -> APIRouter:
    """Returns the route of the page itself."""
    made = APIRouter()

    @made.get("/", include_in_schema=False)
    async def page(request: Request) -> Response:
        return await files.get_response("index.html", request.scope)

    return made
