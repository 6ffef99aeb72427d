"""The options of `signs`: an option of one name means the same in every command, and every one is explained."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from clients.command.main import app

# Options whose help or type differs between commands, and why.
EXCEPTIONS = {
    "--architecture": "classifier and detector have networks of their own",
    "--batch-size": "the default follows from the data for a classifier alone",
    "--classifier": "a file for evaluate, a model on the server for the gateway",
    "--concurrency": "requests that a client sends, calls that the gateway passes on",
    "--data": "training takes several data sets, a detector only scenes, the demo only GTSDB",
    "--device": "training takes a number of a GPU and chooses by itself",
    "--epochs": "a detector takes several crops of each scene",
    "--holdout": "tracks of a classifier, scenes of a detector",
    "--learning-rate": "the default follows from the data for a classifier alone",
    "--precision": "of the training, and of the exported graph",
    "--refit": "crops of a classifier, scenes of a detector",
    "--repository": "an address works where nothing needs files; the demo has a repository of its own",
    "--timeout": "the gateway's begins after the upload and includes the queue",
    "--url": "bench takes one for each protocol; some commands take gRPC alone, or HTTP alone",
    "--version": "a version on the server for evaluate, any number of models and versions for pull and push",
}


def commands(command: Any, path: str = "signs") -> Iterator[tuple[str, Any]]:
    yield path, command
    for name, each in getattr(command, "commands", {}).items():
        yield from commands(each, f"{path} {name}")


ALL = dict(commands(typer.main.get_command(app)))
LEAVES = {path: command for path, command in ALL.items() if not hasattr(command, "commands")}


def options() -> dict[str, dict[tuple[Any, ...], list[str]]]:
    """Returns the commands that have an option, by its long name and by what it says and takes."""
    found: dict[str, dict[tuple[Any, ...], list[str]]] = defaultdict(lambda: defaultdict(list))
    for path, command in LEAVES.items():
        for each in command.params:
            if each.param_type_name == "option" and each.name != "help":
                *short, long = sorted(each.opts, key=len)
                kind = (each.type_descriptor.annotation, each.metavar, each.is_flag, each.multiple)
                found[long][each.help, kind, tuple(short)].append(path)
    return found


def test_an_option_of_one_name_means_the_same_everywhere() -> None:
    differing = {name: dict(forms) for name, forms in options().items() if len(forms) > 1 and name not in EXCEPTIONS}
    assert differing == {}


def test_every_exception_is_still_one() -> None:
    found = options()
    assert [name for name in EXCEPTIONS if len(found[name]) < 2] == []


def test_a_short_form_stands_for_one_option() -> None:
    long_names = defaultdict(set)
    for name, forms in options().items():
        for *_, short in forms:
            for each in short:
                long_names[each].add(name)
    assert long_names == {"-r": {"--repository"}}
    assert all(short == ("-r",) for *_, short in options()["--repository"])


@pytest.mark.parametrize("path", ALL)
def test_no_help_is_cut_in_a_terminal_of_80_columns(path: str) -> None:
    result = CliRunner().invoke(app, [*path.split()[1:], "--help"], env={"COLUMNS": "80"})
    assert result.exit_code == 0
    assert "…" not in result.output


@pytest.mark.parametrize("path", ALL)
def test_every_command_argument_and_option_has_help(path: str) -> None:
    command = ALL[path]
    assert command.help
    assert [line for line in command.help.splitlines() if len(line) > 78 and line.startswith(" ")] == []  # examples
    assert [each.name for each in command.params if not each.help and each.name != "help"] == []
