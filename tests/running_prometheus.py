"""A real Prometheus that scrapes one target each second."""

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from serving.server import free_ports
from tests.monitoring.programs import NO_PROMETHEUS

CONFIG = """
global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}
scrape_configs:
  - job_name: signs
    static_configs: [{targets: ["TARGET"]}]
"""


@contextmanager
def running_prometheus(folder: Path, target: str, rules: str = "") -> Iterator[str]:
    """Starts a Prometheus that keeps its data in `folder` and scrapes host:port/metrics; yields its address.

    `rules` is the content of a rule file that it evaluates each second.

    Skips where there is none to start.
    """
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip(NO_PROMETHEUS)
    config = folder / "prometheus.yml"
    config.write_text(CONFIG.replace("TARGET", target))
    if rules:
        (folder / "rules.yml").write_text(rules)
        config.write_text(config.read_text() + f"rule_files: [{folder / 'rules.yml'}]\n")
    address = f"127.0.0.1:{free_ports().http}"
    command = [program, f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen([*command, f"--web.listen-address={address}"], stdout=log, stderr=log)
        try:
            wait_until(lambda: _answers(f"http://{address}/-/ready"), f"{folder}/prometheus.log")
            yield f"http://{address}"
        finally:
            process.terminate()
            process.wait(30)


def ask(prometheus: str, query: str) -> float | None:
    """Returns the value of a query for one number; None where there is none yet."""
    form = urllib.parse.urlencode({"query": query})
    with urllib.request.urlopen(f"{prometheus}/api/v1/query?{form}", timeout=60) as response:
        result = json.load(response)["data"]["result"]
    return float(result[0]["value"][1]) if result else None


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    """Waits for what another process is about to do."""
    for _ in range(600):
        if is_so():
            return
        time.sleep(0.1)
    raise AssertionError(f"waited in vain: {what}")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=60) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, ConnectionError):
        return False
