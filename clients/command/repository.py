"""`signs repository`: the command line of the model repository."""

from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(no_args_is_help=True, help="Look after the versions that Triton serves: in a folder or a bucket.")

Repository = Annotated[str, typer.Option("--repository", "-r", help="Folder, or s3://, gs:// or az:// address.")]
Model = Annotated[str, typer.Argument(help="Name of a model, such as sign_classifier.", show_default=False)]
Version = Annotated[int, typer.Argument(min=1, help="Number of a version.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
PublicKey = Annotated[
    Path | None, typer.Option(help="PEM file: every version must be signed with its private half.", show_default=False)
]
PrivateKey = Annotated[Path | None, typer.Option(help="PEM file of the key to sign with.", show_default=False)]
PlainHttp = Annotated[
    bool | None,
    typer.Option(
        "--plain-http/--no-plain-http",
        help="Speak HTTP without TLS to the registry.",
        show_default="on this machine alone",
    ),
]
Runs = Annotated[Path, typer.Option(help="Folder of MLflow's database, whose alias champion follows.")]
Reason = Annotated[str, typer.Option(help="Why; goes into the history.", show_default=False)]

DEFAULT_REPOSITORY = "model_repository"


@app.callback()
def _repository() -> None:
    """Look after the versions that Triton serves: in a folder or a bucket.

    A bucket needs its extra (s3, gcs or azure) and takes credentials from where the store's own tools do, as
    AWS_ACCESS_KEY_ID and AWS_ENDPOINT_URL.
    """


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
    _print_json(rows) if as_json else print_list(rows, repository)


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
        _print_json(found) if as_json else print_history(found)
    else:
        facts = show_version(repository, model, version)
        _print_json(facts) if as_json else print_facts(facts)


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
    _print_json([asdict(check) for check in checks]) if as_json else print_checks(checks)
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
    _print_json([asdict(row) for row in rows]) if as_json else print_differences(rows, model, first, second)


@app.command()
def publish(
    source: Annotated[str, typer.Argument(help="REPOSITORY/MODEL/N, a folder or an address.", show_default=False)],
    repository: Repository = DEFAULT_REPOSITORY,
    number: Annotated[
        int | None, typer.Option(min=1, help="Number for the copy, higher than any before.", show_default="the next")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Also if a version with the same files is there.")] = False,
    once: Annotated[
        bool,
        typer.Option(
            "--once", help="If a version with the same files is there, name that one: for a step that is repeated."
        ),
    ] = False,
    private_key: PrivateKey = None,
    public_key: PublicKey = None,
    as_json: Json = False,
) -> None:
    """Publish a copy of a version of another repository, checked, with its provenance.

    That is how a version goes from staging to production, and how a model made by hand gets its manifest.
    It is not served before it is promoted, once anything has been promoted.

    \b
    signs repository publish staging/sign_classifier/3 --repository s3://models/signs
    signs repository publish s3://staging/signs/sign_classifier/3 --public-key ci.pub --private-key release.pem
    """
    from dataclasses import asdict

    from export.repository.publishing import publish_copy
    from export.repository.signing import load_signer
    from export.repository.store import repository_flag
    from traffic_signs.console import Console
    from traffic_signs.progress import progress_bars

    if again and once:
        raise typer.BadParameter("--again asks for another copy and --once for no other: give one of them")
    signer = load_signer(private_key)
    with progress_bars(Console(stderr=True)) as progress:
        manifest = publish_copy(source, repository, number, again, signer, public_key, progress, once=once)
    if as_json:
        _print_json(asdict(manifest))
        return
    name = f"{manifest.model} {manifest.version}{repository_flag(repository)}"
    typer.echo(f"published: {repository}/{manifest.model}/{manifest.version}\nnext: signs repository promote {name}")


@app.command()
def sign(
    model: Model,
    version: Version,
    private_key: Annotated[Path, typer.Option(help="PEM file of the key to sign with.", show_default=False)],
    repository: Repository = DEFAULT_REPOSITORY,
) -> None:
    """Sign a version: OpenSSF model signing with an elliptic-curve key; the signature is model.sig beside the files.

    The password of an encrypted key is taken from SIGNS_KEY_PASSWORD.

    \b
    openssl ecparam -name prime256v1 -genkey -noout -out release.pem
    openssl ec -in release.pem -pubout -out release.pub
    signs repository sign sign_classifier 3 --private-key release.pem
    """
    from export.repository.publishing import sign_version
    from export.repository.signing import load_signer

    signer = load_signer(private_key)
    assert signer is not None
    sign_version(repository, model, version, signer)
    typer.echo(f"signed: {repository}/{model}/{version}")


@app.command()
def promote(
    model: Model,
    version: Version,
    repository: Repository = DEFAULT_REPOSITORY,
    reason: Reason = "",
    gated: Annotated[
        bool, typer.Option("--gated", help="Only where it has passed the gate against the present champion.")
    ] = False,
    if_none: Annotated[
        bool, typer.Option("--if-none", help="Only where nothing has been promoted yet, so that there is a way back.")
    ] = False,
    runs: Runs = Path("runs"),
    as_json: Json = False,
) -> None:
    """Make a version the champion: config.pbtxt then serves it and no other.

    Without --gated a version that has not passed the gate is promoted too, and a note says so; another one tells of a
    recognizer that was exported with another version. Where MLflow is in use, its alias champion moves along.

    \b
    signs repository promote sign_classifier 3 --reason "fewer mistakes at night"
    signs repository promote sign_classifier 3 --gated
    """
    from dataclasses import asdict

    from export.repository.followers import find_stale_dependents
    from export.repository.promotion import champion, gate_failure_reason
    from export.repository.promotion import promote as make_champion
    from export.repository.store import open_store

    best = champion(open_store(repository), model) if if_none else None
    if best is not None:
        unchanged: dict[str, Any] = {"model": model, "champion": best, "entry": None, "notes": []}
        _print_json(unchanged) if as_json else typer.echo(f"{model} {best} is the champion already")
        return
    lack = gate_failure_reason(repository, model, version)
    entry = make_champion(repository, model, version, reason, gated)
    notes = [lack] if lack and _can_be_gated(repository, model, version) else []
    notes += find_stale_dependents(repository, model, version, runs)
    if as_json:
        _print_json({"model": model, "champion": version, "entry": asdict(entry) if entry else None, "notes": notes})
        return
    typer.echo(f"{model} {version} is the champion" + ("" if entry else " already"))
    for note in notes:
        typer.echo(f"note: {note}", err=True)


@app.command()
def rollback(
    model: Model,
    repository: Repository = DEFAULT_REPOSITORY,
    reason: Reason = "",
    only: Annotated[
        int | None,
        typer.Option(
            "--only", min=1, help="Only where this version is the champion, else nothing: for a step that is repeated."
        ),
    ] = None,
    runs: Runs = Path("runs"),
    as_json: Json = False,
) -> None:
    """Make the champion before the present one champion again; once more goes one further back.

    \b
    signs repository rollback sign_classifier --reason "wrong on lorry signs"
    signs repository rollback sign_classifier --only 4
    """
    from dataclasses import asdict

    from export.repository.followers import find_stale_dependents
    from export.repository.promotion import champion, rollback_from
    from export.repository.promotion import rollback as roll_back
    from export.repository.store import open_store

    entry = roll_back(repository, model, reason) if only is None else rollback_from(repository, model, only, reason)
    if entry is None:
        best = champion(open_store(repository), model)
        unchanged: dict[str, Any] = {"model": model, "champion": best, "entry": None, "notes": []}
        _print_json(unchanged) if as_json else typer.echo(f"{model} {only} is not the champion: {best} stays")
        return
    notes = find_stale_dependents(repository, model, entry.version, runs)
    if as_json:
        _print_json({"model": model, "champion": entry.version, "entry": asdict(entry), "notes": notes})
        return
    typer.echo(f"{model} {entry.version} is the champion again")
    for note in notes:
        typer.echo(f"note: {note}", err=True)


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
        _print_json(asdict(pruned))
        return
    typer.echo(f"{'would remove' if dry_run else 'removed'}: {numbers(pruned.removed)}\nkept: {numbers(pruned.kept)}")
    for path in pruned.swept:
        typer.echo(f"removed what was left of broken-off work: {path}")


@app.command()
def pull(
    source: Annotated[
        str,
        typer.Argument(
            help="Repository to take from: folder or address; oci://HOST/NAME or oci://HOST/NAME@sha256:DIGEST.",
            show_default=False,
        ),
    ],
    destination: Annotated[Path, typer.Argument(help="Folder for a server to start on.", show_default=False)],
    version: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL[=N,...]", help="What to pull, repeatable; MODEL alone is its champion, nothing all of these."
        ),
    ] = None,
    versions_file: Annotated[
        Path | None, typer.Option(help='JSON instead: {"MODEL": N or [N, M] or null}.', show_default=False)
    ] = None,
    public_key: PublicKey = None,
    any_gpu: Annotated[
        bool, typer.Option("--any-gpu", help="Also engines that another GPU than this machine's is to run.")
    ] = False,
    missing_ok: Annotated[
        bool, typer.Option("--missing-ok", help="Leave out models that the source has no version of yet.")
    ] = False,
    plain_http: PlainHttp = None,
    configuration: Annotated[
        str,
        typer.Option(
            help="Refuse what a server with --model-config-name=NAME would not serve rightly, as gpu.",
            show_default=False,
        ),
    ] = "",
    as_json: Json = False,
) -> None:
    """Bring exactly the versions asked for into a folder, checked, with a config.pbtxt that serves these alone.

    What a container runs before Triton starts. On any failure the folder stays as it was, and the code is 1. Of a
    registry, a digest names exactly one version; without one the newest is taken where no number is given.

    \b
    signs repository pull s3://models/signs /models --version sign_classifier=3 --public-key release.pub
    signs repository pull oci://registry.example.com/signs/models@sha256:DIGEST /models
    signs repository pull model_repository served --version sign_classifier
    """
    from dataclasses import asdict

    from export.repository.artifact import opened
    from export.repository.pull import parse_wanted
    from export.repository.pull import pull as bring
    from traffic_signs.console import Console
    from traffic_signs.progress import progress_bars

    wanted = parse_wanted(version or [], versions_file)
    with progress_bars(Console(stderr=True)) as progress, opened(source, wanted, plain_http, progress) as store:
        there = {model: numbers for model, numbers in wanted.items() if not missing_ok or store.versions(model)}
        if wanted and not there:
            _print_json([]) if as_json else typer.echo(f"{source} has none of these yet: nothing was pulled")
            return
        pulled = bring(store, destination, there, public_key, progress, any_gpu, configuration)
    if as_json:
        _print_json([asdict(each) for each in pulled])
        return
    for each in pulled:
        typer.echo(f"{'pulled' if each.fetched else 'there and whole'}: {destination}/{each.model}/{each.version}")


def _can_be_gated(repository: str, model: str, version: int) -> bool:
    """Says whether a version is a network; the gate judges nothing else."""
    from export.repository.promotion import require_version
    from export.repository.store import open_store

    manifest = require_version(open_store(repository), model, version)
    return manifest is not None and bool(manifest.model_sha256)


def _print_json(content: Any) -> None:
    import json

    typer.echo(json.dumps(content))
