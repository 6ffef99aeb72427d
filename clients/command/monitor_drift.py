"""`signs monitor drift` and `signs monitor study`: the command line of the drift watch."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clients.command.monitor_options import PROMETHEUS, PrometheusOption, check_duration
from monitoring.drift.limits import Limits
from traffic_signs.options import with_options

if TYPE_CHECKING:
    from collections.abc import Callable

    from monitoring.drift.watch import Finding, Watch

# What --once ends with, as diff(1) does.
NO_DRIFT, DRIFT, UNCLEAR = 0, 1, 2


@with_options
def drift(
    limits: Limits,
    prometheus: PrometheusOption = PROMETHEUS,
    repository: Annotated[
        str, typer.Option(help="Model repository that is served, with the references: a folder or s3://, gs://, az://.")
    ] = "model_repository",
    window: Annotated[str, typer.Option(help="Time to look back: 30m, 1h, 2d.", callback=check_duration)] = "1h",
    interval: Annotated[str, typer.Option(help="Time from one look to the next.", callback=check_duration)] = "60s",
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 is all of them.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="For /metrics; 0 takes a free one.")] = 9105,
    selector: Annotated[
        str, typer.Option(help="More label matchers, such as 'namespace=\"production\"'.", show_default=False)
    ] = "",
    once: Annotated[bool, typer.Option("--once", help="Look once, print a table, and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --once: print JSON.")] = False,
) -> None:
    """Compare what the recognizer sees with its reference, and publish scores for alerts, until Ctrl-C.

    The reference is what `signs export recognizer --reference` measured. A feature has drifted when all three hold:
    enough samples, a difference that chance does not explain, and one that is large.

    With --once the exit code is 0 for no drift, 1 for drift and 2 where that cannot be decided: Prometheus does not
    answer, there is no reference, or there are too few scenes.

    \b
    signs monitor drift --prometheus http://localhost:9090 --port 9105
    signs monitor drift --once
    signs monitor drift --once --json --window 1d --repository s3://models/signs
    """
    from monitoring.drift.prometheus import Prometheus, seconds
    from monitoring.drift.watch import Watch

    if as_json and not once:
        raise typer.BadParameter("a continuous watch prints no JSON: add --once", param_hint="--json")

    def open_watch() -> Watch:
        return Watch(Prometheus(prometheus, window, selector), repository, limits)

    if once:
        raise typer.Exit(_once(open_watch, window, limits, as_json))

    from monitoring.drift.exporter import export

    try:
        export(open_watch(), seconds(interval), host, port, typer.echo)
    except KeyboardInterrupt:
        typer.echo("stopped")


def _once(open_watch: "Callable[[], Watch]", window: str, limits: "Limits", as_json: bool) -> int:
    """Looks once, prints what is found, and returns the exit code."""
    import json

    from clients.command.drift_output import as_dict, print_findings
    from traffic_signs.console import Console

    try:
        findings = open_watch().look()
    except Exception as error:  # whatever it is: the code of a crash would say drift
        typer.echo(f"signs: {error}", err=True)
        return UNCLEAR
    if as_json:
        typer.echo(json.dumps(as_dict(findings, window, limits)))
    else:
        print_findings(Console(), findings, window)
    return exit_code(findings)


def exit_code(findings: "list[Finding]") -> int:
    """Returns DRIFT for any version that has drifted, and UNCLEAR for one with traffic and no verdict, or for none."""
    verdicts = [finding.verdict for finding in findings]
    if "drift" in verdicts:
        return DRIFT
    overlooked = any(finding.busy and finding.verdict == "not evaluated" for finding in findings)
    return NO_DRIFT if "no drift" in verdicts and not overlooked else UNCLEAR


def study(
    data: Annotated[
        str, typer.Option(help="gtsdb=PATH: scenes the models were not trained on.", show_default=False)
    ] = "",
    repository: Annotated[Path, typer.Option(help="Model repository with a detector and a classifier.")] = Path(
        "model_repository"
    ),
    score_threshold: Annotated[float, typer.Option(min=0, max=1, help="Lowest detection score that counts.")] = 0.3,
    altered: Annotated[int, typer.Option(min=10, help="How many scenes to darken and blur.")] = 60,
    measured: Annotated[
        Path | None, typer.Option(help="Folder of an earlier study, instead of --data: nothing is measured again.")
    ] = None,
    trials: Annotated[int, typer.Option(min=10, help="Windows for each false-alarm rate.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Of all draws.")] = 0,
    output: Annotated[Path, typer.Option(help="Folder for measurements, figures and picture.")] = Path("runs/drift"),
    as_json: Annotated[bool, typer.Option("--json", help="Print study.json.")] = False,
) -> None:
    """Measure how often the drift watch alarms for nothing, and how soon it notices a change, on scenes of your own.

    The recognizer of the repository measures every scene, and some again darkened and blurred: up to a second each on
    a CPU. Then thousands of windows are drawn from the measurements and compared as live traffic is.

    \b
    signs monitor study --data gtsdb=FullIJCNN2013.zip
    signs monitor study --measured runs/drift --trials 10000
    """
    from monitoring.drift import study as studying
    from monitoring.drift.study_report import print_study, write_study
    from traffic_signs.console import Console
    from traffic_signs.progress import progress_bars

    if bool(data) == (measured is not None):
        raise typer.BadParameter("give either --data or --measured")
    output.mkdir(parents=True, exist_ok=True)
    with progress_bars(Console(stderr=True)) as progress:
        if measured is not None:
            found = studying.load_measured(measured)
        else:
            from export.drift_reference import open_recognizer
            from training.data.load import load_data

            found = studying.measure(
                open_recognizer(repository, score_threshold), load_data(data), altered, output, progress
            )
        result = studying.study(found, trials, Limits(), seed, progress)
        files = write_study(output, result)
    if as_json:
        typer.echo(files[0].read_text().rstrip())
        return
    print_study(Console(), result)
    typer.echo(f"look: {files[1]}\neverything: {files[0]}")
