"""Which versions of tritonserver may listen on a network, and from which version an option exists."""

import ipaddress
import re

from serving.errors import ServingError

# 26.07, which fixes CVE-2026-16497 and CVE-2026-47625; SECURITY.md lists those of older versions.
MINIMUM = (2, 71)
# 24.05, the first with --model-config-name, by which models are served as their hardware needs it.
OLDEST = (2, 46)
# From 26.04 on shared memory of clients is off by default.
CLIENT_SHM = (2, 68)


def parse_version(version: str) -> tuple[int, int]:
    """Returns the first two numbers of a server's version: (2, 73) of 2.73.0; raises ServingError if there are none."""
    found = re.match(r"(\d+)\.(\d+)", version)
    if found is None:
        raise ServingError(f"{version!r} is not a version of tritonserver: give two or more numbers, such as 2.71")
    return int(found[1]), int(found[2])


def is_safe(version: str, minimum: tuple[int, int] = MINIMUM) -> bool:
    """Returns whether a server of this version may listen on a network."""
    return parse_version(version) >= minimum


def check_network(version: str, host: str) -> None:
    """Raises ServingError if `host` is on a network and the server is too old for it."""
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if not loopback and not is_safe(version):
        raise ServingError(
            f"tritonserver {version} is older than {MINIMUM[0]}.{MINIMUM[1]} (26.07) and has known security holes, so "
            f"it does not listen on {host}: serve 127.0.0.1, give a newer one with --tritonserver, or accept what "
            "SECURITY.md names with --unsafe-old-server"
        )


def shared_memory_arguments(version: str) -> tuple[str, ...]:
    """Returns the arguments that allow clients to pass tensors in shared memory."""
    # Older servers always allow it and do not know the option.
    return ("--allow-client-shm=true",) if parse_version(version) >= CLIENT_SHM else ()
