"""How many cores a server may use, by the files of the kernel's control groups; the folders are made up."""

import math
from pathlib import Path

import pytest

from traffic_signs.cores import cpu_limit, usable_cores


def write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def test_at_least_one_and_no_more_than_the_machine_has() -> None:
    import os

    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


@pytest.mark.parametrize(
    ("content", "limit"), [("max 100000", math.inf), ("150000 100000", 1.5), ("nonsense", math.inf)]
)
def test_version_2_in_a_container(tmp_path: Path, content: str, limit: float) -> None:
    write(tmp_path / "own", "0::/\n")
    write(tmp_path / "root" / "cpu.max", content)
    assert cpu_limit(tmp_path / "root", tmp_path / "own") == limit


def test_the_groups_above_count_too(tmp_path: Path) -> None:
    write(tmp_path / "own", "0::/pods/pod/server\n")
    write(tmp_path / "root/pods/pod/server/cpu.max", "max 100000")
    write(tmp_path / "root/pods/pod/cpu.max", "400000 100000")
    write(tmp_path / "root/pods/cpu.max", "800000 100000")
    assert cpu_limit(tmp_path / "root", tmp_path / "own") == 4


def test_a_group_outside_of_what_is_mounted_leaves_the_root(tmp_path: Path) -> None:
    write(tmp_path / "own", "0::/../elsewhere\n")
    write(tmp_path / "root" / "cpu.max", "200000 100000")
    assert cpu_limit(tmp_path / "root", tmp_path / "own") == 2


@pytest.mark.parametrize(("quota", "limit"), [("-1", math.inf), ("250000", 2.5)])
def test_version_1(tmp_path: Path, quota: str, limit: float) -> None:
    write(tmp_path / "own", "4:memory:/x\n3:cpu,cpuacct:/x\n")
    write(tmp_path / "root/cpu,cpuacct/x/cpu.cfs_quota_us", quota)
    write(tmp_path / "root/cpu,cpuacct/x/cpu.cfs_period_us", "100000")
    assert cpu_limit(tmp_path / "root", tmp_path / "own") == limit


def test_a_system_without_control_groups_has_no_limit(tmp_path: Path) -> None:
    assert cpu_limit(tmp_path, tmp_path / "nothing") == math.inf
