"""What people use the served models with: the Python client and the `signs` command."""

from clients.client import Prediction, SignClient

__all__ = ["Prediction", "SignClient"]
