"""Direct connections, without a proxy, to this machine and to servers that the caller has started.

Libraries read a proxy from HTTP_PROXY and similar variables and use it for localhost too.
"""

import http.client
import ipaddress
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from typing import Any

LOOPBACK = ("localhost", "127.0.0.0/8", "127.0.0.1", "::1", "0.0.0.0")  # as libraries read it; httpx fails at [::1]
GRPC_VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy")  # that gRPC reads, in its order
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def is_loopback(host: str) -> bool:
    """Returns whether a host, with or without a port, is this machine."""
    name = urllib.parse.urlsplit(f"//{host}").hostname or ""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def keep_loopback_direct() -> None:
    """Sets no_proxy so that this process and its children connect to this machine without a proxy."""
    if not urllib.request.getproxies():
        return
    for variable, other in (("no_proxy", "NO_PROXY"), ("NO_PROXY", "no_proxy")):  # libraries differ in which they read
        exempt = (os.environ.get(variable) or os.environ.get(other) or "").replace(" ", "").split(",")
        if exempt != ["*"]:
            os.environ[variable] = ",".join(dict.fromkeys(each for each in (*exempt, *LOOPBACK) if each))


def open_url(request: str | urllib.request.Request, timeout: float, is_ours: bool = False) -> Any:
    """Opens a URL like `urllib.request.urlopen`, but without a proxy for this machine; the timeout is in seconds.

    A server that `is_ours`, started by the caller, is called without a proxy too.

    Raises:
        urllib.error.HTTPError: the server answers with an error.
        OSError: nothing answers, or the answer is not HTTP; the message names the proxy that was used.
    """
    url = request if isinstance(request, str) else request.full_url
    address = urllib.parse.urlsplit(url)
    direct = is_ours or is_loopback(address.netloc.rpartition("@")[2])
    try:
        return _DIRECT.open(request, timeout=timeout) if direct else urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError:
        raise
    except http.client.HTTPException as error:  # a socket can connect to itself and then reads its own request
        raise urllib.error.URLError(f"it is not an HTTP server: {type(error).__name__}") from error
    except urllib.error.URLError as error:
        name = f"{address.scheme}_proxy"
        if note := "" if direct else proxy_note(address.netloc, (name, name.upper())):
            raise urllib.error.URLError(f"{error.reason}{note}") from error
        raise


def proxy_note(host: str, variables: Sequence[str]) -> str:
    """Returns a note about the proxy for a connection error; empty if no proxy is used for the host.

    The first of the environment variables that is set names the proxy.
    """
    variable = next((each for each in variables if os.environ.get(each)), None)
    if variable is None or is_loopback(host) or urllib.request.proxy_bypass(host):
        return ""
    name = urllib.parse.urlsplit(f"//{host}").hostname
    return f" (through the proxy of {variable}: if there should be none, add {name} to no_proxy)"
