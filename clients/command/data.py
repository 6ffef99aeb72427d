"""`signs data`: the command line of the data sets."""

from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(no_args_is_help=True, help="Fetch the benchmarks, and see what is in a copy of them.")


@app.command()
def fetch(
    benchmark: Annotated[
        Literal["gtsdb", "gtsrb"], typer.Argument(help="Street scenes (gtsdb) or single signs (gtsrb).")
    ],
    to: Annotated[Path | None, typer.Option(help="Folder for it.", show_default="data/BENCHMARK")] = None,
    mirror: Annotated[
        str, typer.Option("--from", metavar="URL", help="Folder on the web that holds the archives by their names.")
    ] = "",
    keep_archives: Annotated[bool, typer.Option("--keep-archives", help="Keep the zips once unpacked.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Fetch a benchmark's official archives and check them; interrupted, the same command resumes.

    GTSDB is one zip of about 1.6 GB and stays one; GTSRB is three zips of 365 MB, unpacked here.

    What is there already is only checked. In the JSON, bytes and files count the archives fetched by this call.

    \b
    signs data fetch gtsrb
    signs data fetch gtsdb --to /mnt/data/gtsdb
    signs data fetch gtsrb --from https://mirror.example.org/gtsrb --keep-archives
    """
    import json
    import shlex
    from dataclasses import asdict

    from traffic_signs.console import Console
    from traffic_signs.progress import progress_bars
    from training.data import fetch as fetching

    chosen = fetching.BENCHMARKS[benchmark]
    with progress_bars(Console(stderr=True)) as progress:
        fetched = fetching.fetch(chosen, to or Path("data") / benchmark, mirror, keep_archives, progress)
    if as_json:
        typer.echo(json.dumps(asdict(fetched) | {"path": str(fetched.path)}))
        return
    what = f"fetched {fetched.bytes / 1e6:.1f} MB in {fetched.seconds:.0f} s" if fetched.files else "there and whole"
    path = shlex.quote(str(fetched.path))
    typer.echo(f"{what}: {fetched.path}\n{chosen.credit}")
    typer.echo(f"next: signs data check {path}\n      signs train classifier --data {benchmark}={path}")


@app.command()
def check(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH",
            help="Folder or zip; or gtsdb=, gtsrb=, feedback=, images=, coco= or yolo=PATH.",
            show_default=False,
        ),
    ],
    output: Annotated[Path, typer.Option(help="Folder for the report and its pictures.")] = Path("runs/data-check"),
    as_json: Annotated[bool, typer.Option("--json", help="Print audit.json.")] = False,
) -> None:
    """Check data sets: decode every image, count, and look for damage, repeats and test signs seen in training.

    Ends with code 1 where an image is broken, a box cannot be right or an entry of feedback cannot be used; everything
    else is worth knowing, no fault.

    GTSRB and GTSDB were filmed on the same drives: give both to see which tracks show test signs of the other.

    Leaves audit.json, contact_sheet.png, sizes.png, classes.png and, where signs repeat, leakage.png.

    \b
    signs data check FullIJCNN2013.zip
    signs data check gtsrb=GTSRB gtsdb=FullIJCNN2013 --output runs/both
    signs data check GTSRB --json | jq .problems
    signs data check feedback=feedback --json | jq '.data_sets[0].entries'
    """
    from traffic_signs.console import Console
    from traffic_signs.progress import progress_bars
    from training.data.audit import audit
    from training.data.audit_report import print_audit, write_audit
    from training.data.load import load_together

    data_sets = load_together(paths)
    output.mkdir(parents=True, exist_ok=True)  # where it cannot be made, say so before the minutes of reading
    with progress_bars(Console(stderr=True)) as progress:
        found = audit(data_sets, progress)
        files = write_audit(output, found, progress)
    if as_json:
        typer.echo(files[0].read_text().rstrip())
    else:
        print_audit(Console(), found)
        typer.echo(f"look: {', '.join(map(str, files[1:]))}\neverything: {files[0]}")
    if found.problems:
        raise typer.Exit(1)
