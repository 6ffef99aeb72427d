"""Wrong values are refused, and the message names the key: with Helm 3 and with Helm 4.

Helm names all problems at once, so values that do not touch each other are given to it together, and each must be in a
line of the message.
"""

from functools import cache
from typing import Any

import pytest

from tests.helm.helm_chart import CHART, HELMS, find_helm, merged, run_helm
from tests.helm.value_cases import LEAST
from tests.helm.wrong_values import SCHEMA, TOGETHER, Wrong

CASES = {"schema": SCHEMA, "together": TOGETHER}


def touches(one: Wrong, other: Wrong) -> bool:
    """Returns whether two set the same key, or one a key above one of the other's."""
    return any(
        f"{mine}.".startswith(f"{yours}.") or f"{yours}.".startswith(f"{mine}.")
        for mine in one.values
        for yours in other.values
    )


@cache
def batches(which: str) -> list[list[int]]:
    """Deals the cases, by their numbers, into batches in none of which two touch each other."""
    dealt: list[list[int]] = []
    for number, case in enumerate(CASES[which]):
        for batch in dealt:
            if not any(touches(case, CASES[which][other]) for other in batch):
                batch.append(number)
                break
        else:
            dealt.append([number])
    return dealt


def set_in(values: dict[str, Any], path: list[str], value: Any) -> dict[str, Any]:
    """Returns values with one more; a part of the path that is a number is a place in a list."""
    first, *rest = path
    if rest and rest[0].isdecimal():
        return merged(values, {first: [set_in({}, rest[1:], value)]})
    below = values.get(first) if isinstance(values.get(first), dict) else {}
    return {**values, first: set_in(below or {}, rest, value) if rest else value}


def path_of(key: str) -> list[str]:
    """Parts of a key; the name of a model may have dots in it."""
    above, versions, model = key.partition("models.versions.")
    return ["models", "versions", model] if versions and not above else key.split(".")


@cache
def message(helm: str, which: str, batch: int) -> str:
    """Returns what Helm says to a batch of cases over the least values."""
    values: dict[str, Any] = LEAST
    for number in batches(which)[batch]:
        for key, value in CASES[which][number].values.items():
            values = set_in(values, path_of(key), value)
    done = run_helm(helm, "template", "demo", str(CHART), "--kube-version", "1.29.0", values=values)
    assert done.returncode, f"Helm takes {values}"
    return done.stderr


def message_to(helm: str, which: str, case: Wrong) -> str:
    number = CASES[which].index(case)
    (batch,) = [index for index, batch in enumerate(batches(which)) if number in batch]
    return message(helm, which, batch)


@pytest.mark.parametrize("name", HELMS)
@pytest.mark.parametrize("case", SCHEMA, ids=str)
def test_the_schema_refuses(case: Wrong, name: str) -> None:
    """The line has the key, or the key above it and the name of what is too much or missing there."""
    path = path_of(case.key)
    said = message_to(find_helm(name), "schema", case)
    if len(path) > 1:
        wanted = {mark.join(path[:length]) for mark in "./" for length in (len(path) - 1, len(path))}
    else:
        wanted = {f"'{case.key}'", f"property {case.key} ", f"'/{case.key}'", f"- {case.key}:"}
    lines = [line for line in said.splitlines() if line.lstrip().startswith("- ")]
    assert any(any(each in line for each in wanted) and named_in(line, path, case) for line in lines), said


def named_in(line: str, path: list[str], case: Wrong) -> bool:
    """Returns whether the line has the last part of the key, or a part of the value below it."""
    value = case.values[case.key]
    below = [key for each in (value if isinstance(value, list) else [value]) if isinstance(each, dict) for key in each]
    return any(part in line for part in [path[-1], *below])


@pytest.mark.parametrize("name", HELMS)
@pytest.mark.parametrize("case", TOGETHER, ids=str)
def test_the_checks_refuse(case: Wrong, name: str) -> None:
    """The line begins with the key and says what to do."""
    said = message_to(find_helm(name), "together", case)
    assert any(line.strip().startswith(f"{case.key}: ") for line in said.splitlines()), said


def test_there_are_enough() -> None:
    assert len(SCHEMA) >= 100
    assert len(set(map(str, SCHEMA + TOGETHER))) == len(SCHEMA) + len(TOGETHER), "one is there twice"
