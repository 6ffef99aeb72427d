"""Runs steps in a network of their own, in which whatever leaves this machine is counted; see test_surroundings.py.

    python surroundings.py STEPS RESULTS
    unshare --user --map-root-user --net --mount python surroundings.py STEPS RESULTS closed [READ_ONLY_FOLDER]

STEPS is a JSON list of {name, command, environment, cwd, until, then}; RESULTS takes a list of {name, code, out, err,
sent, then}.
"""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

OUTSIDE = "10.99.0.9"  # an address of no machine, where the proxy and the name server seem to be
LINKS = (
    "ip link set lo up",
    "ip link add out type veth peer name other",
    "ip addr add 10.99.0.1/24 dev out",
    "ip link set other up",
    "ip link set out up",
    f"ip neigh add {OUTSIDE} lladdr 02:00:00:00:00:01 dev out",
    f"ip route add default via {OUTSIDE}",
)
PATIENCE_S = 900.0


def make_network(scratch: Path) -> None:
    """Makes a network with a way out that leads nowhere, and has names looked up there."""
    for number, command in enumerate(LINKS):
        subprocess.run(command.split(), check=True)
        if number == 1:  # the kernel would speak of itself
            for name in ("out", "other"):
                Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("1")
    resolver = scratch / "resolv.conf"
    resolver.write_text(f"nameserver {OUTSIDE}\noptions timeout:1 attempts:1\n")
    subprocess.run(["mount", "--bind", str(resolver), "/etc/resolv.conf"], check=True)


def sent() -> int:
    """Returns how many packets have left this machine, or would have."""
    fields = next(line for line in Path("/proc/net/dev").read_text().splitlines() if line.strip().startswith("out:"))
    return int(fields.partition(":")[2].split()[8])


def run(step: dict[str, Any]) -> dict[str, Any]:
    """Runs a step to its end, or until it has printed something; then another command, and then it is stopped."""
    process = subprocess.Popen(
        step["command"],
        cwd=step["cwd"],
        env=step["environment"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    assert process.stdout is not None and process.stderr is not None
    watchdog = threading.Timer(PATIENCE_S, process.kill)
    watchdog.start()
    inner: dict[str, Any] | None = None
    seen = ""
    if step.get("until"):
        while step["until"] not in seen and (line := process.stdout.readline()):
            seen += line
        if step.get("then"):
            inner = run(step["then"])
            process.terminate()
        else:
            process.stdout.close()  # as `head` does
    if process.stdout.closed:
        out, err = "", process.stderr.read()
        process.wait()
    else:
        out, err = process.communicate()
    watchdog.cancel()
    return {"name": step["name"], "code": process.returncode, "out": seen + out, "err": err, "then": inner}


def main() -> None:
    """Runs all steps."""
    steps, results = Path(sys.argv[1]), Path(sys.argv[2])
    os.umask(0o077)
    is_closed = len(sys.argv) > 3
    if is_closed:
        make_network(results.parent)
        for folder in sys.argv[4:]:  # of root's, too
            subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", folder], check=True)
    found = []
    for step in json.loads(steps.read_text()):
        before = sent() if is_closed else 0
        result = run(step)
        found.append({**result, "sent": sent() - before if is_closed else 0})
    results.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
