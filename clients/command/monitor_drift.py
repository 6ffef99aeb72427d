"""`signs monitor drift` and `signs monitor study`: the command line of the drift watch."""

from typing import TYPE_CHECKING, Annotated

import typer

from clients.command.monitor_watch import FINE, UNCLEAR, WORSE, unclear_on_error
from clients.command.output import print_json, progress_bars
from monitoring.settings import DriftConfig, StudyConfig
from traffic_signs.durations import seconds
from traffic_signs.options import with_options
from traffic_signs.settings import Json, Setting

if TYPE_CHECKING:
    from monitoring.drift.watch import Finding


@with_options
def drift(
    config: DriftConfig,
    once: Annotated[bool, Setting("Look once, print a table, and end.")] = False,
    as_json: Json = False,
) -> None:
    """Compare what the recognizer sees with its reference, and publish scores for alerts, until Ctrl-C.

    `signs export recognizer --reference` measures the reference, which is part of the version in the repository. A
    feature has drifted if there are enough samples, chance does not explain the difference, and the difference is
    large.

    With --once it looks once and prints a table, or JSON with --json.

    Exit codes of --once: 0 no drift; 1 drift; 2 no verdict, because Prometheus does not answer, there is no reference,
    or there are too few scenes.

    Examples:
        signs monitor drift --prometheus http://localhost:9090 --port 9105
        signs monitor drift --once
        signs monitor drift --once --json --window 1d -r s3://models/signs
    """
    from monitoring.drift.prometheus import Prometheus
    from monitoring.drift.watch import Watch

    if as_json and not once:
        raise typer.BadParameter("a continuous watch prints no JSON: add --once", param_hint="--json")

    def open_watch() -> Watch:
        return Watch(Prometheus(config.prometheus, config.window, config.selector), config.repository, config.limits)

    if once:
        from clients.command.drift_output import as_dict, print_findings

        with unclear_on_error():
            findings = open_watch().look()
        print_json(as_dict(findings, config)) if as_json else print_findings(findings, config.window)
        raise typer.Exit(exit_code(findings))

    from monitoring.drift.exporter import export

    try:
        export(open_watch(), seconds(config.interval), config.host, config.port, typer.echo)
    except KeyboardInterrupt:
        typer.echo("stopped")


def exit_code(findings: "list[Finding]") -> int:
    """Returns WORSE if any version has drifted, and UNCLEAR if one has traffic and no verdict, or if there is none."""
    verdicts = [finding.verdict for finding in findings]
    if "drift" in verdicts:
        return WORSE
    overlooked = any(finding.busy and finding.verdict == "not evaluated" for finding in findings)
    return FINE if "no drift" in verdicts and not overlooked else UNCLEAR


@with_options
def study(config: StudyConfig, as_json: Json = False) -> None:
    """Measure how often the drift watch raises a false alarm, and how soon it notices a change, on your own scenes.

    The recognizer of the repository measures every scene, and some of them also darkened and blurred: up to a second
    each on a CPU. Then thousands of windows are drawn from the measurements and compared as live traffic is. --output
    keeps the measurements, study.json and a picture.

    Examples:
        signs monitor study --data gtsdb=FullIJCNN2013.zip
        signs monitor study --measured runs/drift --trials 10000
    """
    from monitoring.drift import study as studying
    from monitoring.drift.limits import DriftLimits
    from monitoring.drift.study_report import print_study, write_study
    from traffic_signs.console import Console

    config.output.mkdir(parents=True, exist_ok=True)
    with progress_bars() as progress:
        if config.measured is not None:
            found = studying.load_measured(config.measured)
        else:
            from export.drift_reference import open_recognizer
            from training.data.load import load_data

            recognizer = open_recognizer(config.repository, config.score_threshold)
            found = studying.measure(recognizer, load_data(config.data), config.altered, config.output, progress)
        result = studying.study(found, config.trials, DriftLimits(), config.seed, progress)
        files = write_study(config.output, result)
    if as_json:
        typer.echo(files[0].read_text().rstrip())
        return
    print_study(Console(), result)
    typer.echo(f"look: {files[1]}\neverything: {files[0]}")
