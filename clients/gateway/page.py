"""Serves the web page from the files in page/."""

from pathlib import Path

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

PAGE = Path(__file__).parent / "page"


class Files(StaticFiles):
    """Files that a browser caches and revalidates each time by their ETag."""

    def __init__(self) -> None:
        super().__init__(directory=PAGE, check_dir=False)

    async def check_config(self) -> None:
        """Allows a gateway without the files: each of them is then 404."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Returns a file."""
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        return response
