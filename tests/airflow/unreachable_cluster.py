"""A cluster that nobody can reach: for what describes its objects, or is to fail for want of it alone."""

from pathlib import Path

KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
contexts: [{name: c, context: {cluster: c, user: c}}]
users: [{name: c, user: {token: none}}]
current-context: c
"""


def write_kubeconfig(folder: Path) -> Path:
    """Writes what KUBECONFIG is to name into a folder, and returns its path."""
    path = folder / "kubeconfig"
    path.write_text(KUBECONFIG)
    return path
