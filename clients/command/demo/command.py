"""`signs demo`: the command line of the demo."""

from clients.command.demo.settings import DemoSettings
from clients.command.output import print_json
from traffic_signs.options import with_options
from traffic_signs.settings import Json


@with_options
def demo(settings: DemoSettings, as_json: Json = False) -> None:
    """Run the complete loop: data, training, export, parity, a version, a real tritonserver, clients, a report.

    It publishes into a model repository of its own, so the shipped models do not change.

    Examples:
        signs demo                                 # on scenes that it draws
        signs demo --data FullIJCNN2013.zip        # on real scenes
    """
    from clients.command.demo.loop import run_demo
    from clients.command.demo.table import print_table
    from traffic_signs.console import Console

    console = Console(stderr=as_json)
    summary = run_demo(settings, console)
    if as_json:
        print_json(summary, indent=2)
    else:
        print_table(summary, console)
