"""`signs data`: the command line of the data sets."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from clients.command.output import print_result, progress_bars
from traffic_signs.options import with_options
from traffic_signs.settings import DATA_SET, OUTPUT, Json, Setting

app = typer.Typer(no_args_is_help=True, help="Download the benchmarks, and check data sets.")


@app.command()
@with_options
def fetch(
    benchmark: Annotated[
        Literal["gtsdb", "gtsrb"], Setting("Street scenes (gtsdb) or single signs (gtsrb).", argument=True)
    ],
    to: Annotated[Path | None, Setting("Target folder.", show_default="data/BENCHMARK")] = None,
    mirror: Annotated[
        str,
        Setting(
            "Address of a folder that has the archives under their official names.",
            flags=("--from",),
            metavar="URL",
            show_default="the official one",
        ),
    ] = "",
    keep_archives: Annotated[bool, Setting("Keep the zips after unpacking them.")] = False,
    as_json: Json = False,
) -> None:
    """Download a benchmark's official archives and check them; repeat the command to resume an interrupted download.

    GTSDB is one zip of about 1.6 GB, which stays packed; GTSRB is three zips of 365 MB, which are unpacked. Files that
    exist are only checked. With --json, bytes and files count the archives that this call has downloaded.

    Examples:
        signs data fetch gtsrb
        signs data fetch gtsdb --to /mnt/data/gtsdb
        signs data fetch gtsrb --from https://mirror.example/gtsrb
    """
    import shlex

    from training.data import fetch as fetching

    chosen = fetching.BENCHMARKS[benchmark]
    with progress_bars() as progress:
        fetched = fetching.fetch(chosen, to or Path("data") / benchmark, mirror, keep_archives, progress)
    what = f"fetched {fetched.bytes / 1e6:.1f} MB in {fetched.seconds:.0f} s" if fetched.files else "there and whole"
    path = shlex.quote(str(fetched.path))
    print_result(
        asdict(fetched) | {"path": str(fetched.path)},
        as_json,
        f"{what}: {fetched.path}\n{chosen.credit}\n"
        f"next: signs data check {path}\n      signs train classifier --data {benchmark}={path}",
    )


@app.command()
@with_options
def check(
    paths: Annotated[
        tuple[str, ...],
        Setting(f"A folder or zip; or {DATA_SET}", argument=True, metavar="PATH|KIND=PATH", repeatable=True),
    ],
    output: Annotated[Path, OUTPUT] = Path("runs/data-check"),
    as_json: Json = False,
) -> None:
    """Check data sets: decode every image, count, and search for damage, repeats and test signs in the training split.

    GTSRB and GTSDB were filmed on the same drives: give both to see which tracks show test signs of the other. --output
    gets audit.json, contact_sheet.png, sizes.png, classes.png and, if signs repeat, leakage.png.

    Exit codes: 0 no problem, though there may be findings; 1 an image is broken, a box is impossible or an entry of
    feedback cannot be used.

    Examples:
        signs data check FullIJCNN2013.zip
        signs data check gtsrb=GTSRB gtsdb=FullIJCNN2013 --output runs/both
        signs data check GTSRB --json | jq .problems
        signs data check feedback=feedback --json | jq '.data_sets[0].entries'
    """
    from traffic_signs.console import Console
    from training.data.audit import audit
    from training.data.audit_report import print_audit, write_audit
    from training.data.load import load_together

    data_sets = load_together(paths)
    output.mkdir(parents=True, exist_ok=True)  # fail before the minutes of reading
    with progress_bars() as progress:
        found = audit(data_sets, progress)
        files = write_audit(output, found, progress)
    if as_json:
        typer.echo(files[0].read_text().rstrip())
    else:
        print_audit(Console(), found)
        typer.echo(f"look: {', '.join(map(str, files[1:]))}\neverything: {files[0]}")
    if found.problems:
        raise typer.Exit(1)
