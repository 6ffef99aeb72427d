"""`signs repository roll-out`: a running server loads the champion of its repository."""

from clients.command.output import print_result
from traffic_signs.options import with_options
from traffic_signs.settings import DEFAULT_REPOSITORY, HttpUrl, Json, Model, Repository, Timeout


@with_options
def roll_out(
    model: Model,
    repository: Repository = DEFAULT_REPOSITORY,
    url: HttpUrl = "localhost:8000",
    timeout: Timeout = 120.0,
    as_json: Json = False,
) -> None:
    """Load the champion in a running server, and wait until it answers; requests meanwhile go to the old version.

    This is for a server of this machine that serves --repository, started with `signs serve --reloadable`; on
    Kubernetes a roll-out is `helm upgrade`.

    Exit codes: 0 the champion answers; 1 it fails to load, and the server keeps serving the old version.

    Examples:
        signs repository roll-out sign_classifier
    """
    from export.repository.promotion import champion
    from export.repository.store import open_store, repository_flag
    from serving.loading import load
    from traffic_sign_client.errors import ClientError

    best = champion(open_store(repository), model)
    if best is None:
        command = f"signs repository promote {model} N{repository_flag(repository)}"
        raise ClientError(f"{model} has no champion in {repository}: `{command}` first")
    load(url, model, best, timeout)
    print_result({"model": model, "version": best, "url": url}, as_json, f"{model} {best} is served at {url}")
