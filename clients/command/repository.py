"""`signs repository`: the command line of the model repository."""

from typing import Annotated

import typer

from clients.command.output import print_json, print_result, progress_bars
from clients.command.repository_promote import promote, rollback
from clients.command.repository_publish import publish, sign
from clients.command.repository_transfer import pull, push
from clients.command.roll_out import roll_out
from traffic_signs.durations import DURATION, seconds
from traffic_signs.options import with_options
from traffic_signs.settings import (
    DEFAULT_REPOSITORY,
    AnyModel,
    DryRun,
    Json,
    Model,
    PublicKey,
    Repository,
    Setting,
    Version,
)

app = typer.Typer(
    no_args_is_help=True,
    help="List, check, publish, promote and transfer the versions that Triton serves, in a folder or a bucket.\n\n"
    "A bucket needs its extra (s3, gcs or azure) and takes credentials from where the store's own tools do, such as "
    "AWS_ACCESS_KEY_ID and AWS_ENDPOINT_URL.",
)


@app.command("list")
@with_options
def list_(model: AnyModel = None, repository: Repository = DEFAULT_REPOSITORY, as_json: Json = False) -> None:
    """List the versions of all models: which one is the champion, which are served.

    Examples:
        signs repository list
        signs repository list sign_classifier --repository s3://models/signs --json
    """
    from clients.command.repository_output import print_list
    from export.repository.listing import list_versions

    rows = list_versions(repository, model)
    print_json(rows) if as_json else print_list(rows, repository)


@app.command()
@with_options
def show(
    model: Model,
    version: Annotated[
        int | None, Setting("Number of a version; without it, the history of the model.", min=1, argument=True)
    ] = None,
    repository: Repository = DEFAULT_REPOSITORY,
    as_json: Json = False,
) -> None:
    """Show the content and the origin of a version, or the history of a model's champions.

    Examples:
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
@with_options
def verify(
    model: AnyModel = None,
    version: Annotated[int | None, Setting("Only this version.", min=1, argument=True)] = None,
    repository: Repository = DEFAULT_REPOSITORY,
    public_key: PublicKey = None,
    as_json: Json = False,
) -> None:
    """Check every file against the manifests, and signatures if a key is given.

    Exit codes: 0 all is well; 1 any problem.

    Examples:
        signs repository verify
        signs repository verify sign_classifier 3 --public-key release.pub
        signs repository verify --repository s3://models/signs --json
    """
    from clients.command.repository_output import print_checks
    from export.repository import verification

    with progress_bars() as progress:
        checks = verification.verify(repository, model, version, public_key, progress)
    print_json(checks) if as_json else print_checks(checks)
    if any(check.problems for check in checks):
        raise typer.Exit(1)


@app.command()
@with_options
def diff(
    model: Model, first: Version, second: Version, repository: Repository = DEFAULT_REPOSITORY, as_json: Json = False
) -> None:
    """Show how two versions differ: size, precision, source, data, and all figures side by side.

    Examples:
        signs repository diff sign_classifier 2 3
        signs repository diff sign_classifier 2 3 --json | jq '.[].name'
    """
    from clients.command.repository_output import print_differences
    from export.repository.comparison import compare_versions

    rows = compare_versions(repository, model, first, second)
    print_json(rows) if as_json else print_differences(rows, model, first, second)


app.command()(publish)
app.command()(sign)
app.command()(promote)
app.command()(rollback)


@app.command()
@with_options
def prune(
    model: Model,
    keep: Annotated[int, Setting("Number of versions to keep besides the champion.", min=0)] = 3,
    repository: Repository = DEFAULT_REPOSITORY,
    dry_run: DryRun = False,
    leftovers: Annotated[
        str,
        Setting(
            "Also remove files of interrupted work that are untouched for this long.", metavar=DURATION, check=seconds
        ),
    ] = "24h",
    as_json: Json = False,
) -> None:
    """Remove old versions, but never the champion; earlier champions last, because a rollback returns to them.

    Examples:
        signs repository prune sign_classifier --keep 5 --dry-run
    """
    from clients.command.repository_output import numbers
    from export.repository.pruning import prune as remove_old

    pruned = remove_old(repository, model, keep, dry_run, seconds(leftovers))
    lines = [f"{'would remove' if dry_run else 'removed'}: {numbers(pruned.removed)}", f"kept: {numbers(pruned.kept)}"]
    lines += [f"removed files of interrupted work: {path}" for path in pruned.swept]
    print_result(pruned, as_json, "\n".join(lines))


app.command()(pull)
app.command()(push)
app.command("roll-out")(roll_out)
