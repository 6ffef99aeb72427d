"""`signs repository`: the command line of the model repository."""

from typing import Annotated

import typer

from clients.command.repository_options import (
    DEFAULT_REPOSITORY,
    Json,
    Model,
    PublicKey,
    Repository,
    Version,
    print_json,
)
from clients.command.repository_promote import promote, rollback
from clients.command.repository_publish import publish, sign
from clients.command.repository_transfer import pull, push
from clients.command.roll_out import roll_out

app = typer.Typer(
    no_args_is_help=True,
    help="""Look after the versions that Triton serves: in a folder or a bucket.

    A bucket needs its extra (s3, gcs or azure) and takes credentials from where the store's own tools do, as
    AWS_ACCESS_KEY_ID and AWS_ENDPOINT_URL.
    """,
)


@app.command("list")
def list_(
    model: Annotated[str | None, typer.Argument(help="Only this model.", show_default=False)] = None,
    repository: Repository = DEFAULT_REPOSITORY,
    as_json: Json = False,
) -> None:
    """List the versions of all models: which is the champion, which is served.

    \b
    signs repository list
    signs repository list sign_classifier --repository s3://models/signs --json
    """
    from clients.command.repository_output import print_list
    from export.repository.listing import list_versions

    rows = list_versions(repository, model)
    print_json(rows) if as_json else print_list(rows, repository)


@app.command()
def show(
    model: Model,
    version: Annotated[int | None, typer.Argument(min=1, help="Number; without it, the model's history.")] = None,
    repository: Repository = DEFAULT_REPOSITORY,
    as_json: Json = False,
) -> None:
    """Show what a version is and where it comes from, or how a model's champions followed each other.

    \b
    signs repository show sign_classifier
    signs repository show sign_classifier 3 --json | jq .metrics
    """
    from clients.command.repository_output import print_facts, print_history
    from export.repository.listing import show_model, show_version

    if version is None:
        found = show_model(repository, model)
        print_json(found) if as_json else print_history(found)
    else:
        facts = show_version(repository, model, version)
        print_json(facts) if as_json else print_facts(facts)


@app.command()
def verify(
    model: Annotated[str | None, typer.Argument(help="Only this model.", show_default=False)] = None,
    version: Annotated[int | None, typer.Argument(min=1, help="Only this version.", show_default=False)] = None,
    repository: Repository = DEFAULT_REPOSITORY,
    public_key: PublicKey = None,
    as_json: Json = False,
) -> None:
    """Check every file against the manifests, and signatures where a key is given. Ends with code 1 on any problem.

    \b
    signs repository verify
    signs repository verify sign_classifier 3 --public-key release.pub
    signs repository verify --repository s3://models/signs --json
    """
    from dataclasses import asdict

    from clients.command.repository_output import print_checks
    from export.repository import verification
    from traffic_signs.console import Console
    from traffic_signs.progress import progress_bars

    with progress_bars(Console(stderr=True)) as progress:
        checks = verification.verify(repository, model, version, public_key, progress)
    print_json([asdict(check) for check in checks]) if as_json else print_checks(checks)
    if any(check.problems for check in checks):
        raise typer.Exit(1)


@app.command()
def diff(
    model: Model, first: Version, second: Version, repository: Repository = DEFAULT_REPOSITORY, as_json: Json = False
) -> None:
    """Show how two versions differ: size, precision, source, data, and all figures side by side.

    \b
    signs repository diff sign_classifier 2 3
    signs repository diff sign_classifier 2 3 --json | jq '.[] | select(.name == "metrics.gtsdb_test_accuracy").delta'
    """
    from dataclasses import asdict

    from clients.command.repository_output import print_differences
    from export.repository.comparison import compare_versions

    rows = compare_versions(repository, model, first, second)
    print_json([asdict(row) for row in rows]) if as_json else print_differences(rows, model, first, second)


app.command()(publish)
app.command()(sign)
app.command()(promote)
app.command()(rollback)


@app.command()
def prune(
    model: Model,
    keep: Annotated[int, typer.Option(min=0, help="Versions to keep besides the champion.")] = 3,
    repository: Repository = DEFAULT_REPOSITORY,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    leftovers: Annotated[
        float, typer.Option(min=0, help="Also remove what broken-off work left untouched for so many hours.")
    ] = 24,
    as_json: Json = False,
) -> None:
    """Remove old versions, never the champion. Earlier champions stay longest: a rollback goes back to them.

    \b
    signs repository prune sign_classifier --keep 5 --dry-run
    """
    from dataclasses import asdict

    from clients.command.repository_output import numbers
    from export.repository.pruning import prune as remove_old

    pruned = remove_old(repository, model, keep, dry_run, leftovers * 3600)
    if as_json:
        print_json(asdict(pruned))
        return
    typer.echo(f"{'would remove' if dry_run else 'removed'}: {numbers(pruned.removed)}\nkept: {numbers(pruned.kept)}")
    for path in pruned.swept:
        typer.echo(f"removed what was left of broken-off work: {path}")


app.command()(pull)
app.command()(push)
app.command("roll-out")(roll_out)
