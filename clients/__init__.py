"""What people use the served models with: the Python clients and the `signs` command."""

from clients.answers import Prediction, Sign
from clients.client import AsyncSignClient, SignClient

__all__ = ["AsyncSignClient", "Prediction", "Sign", "SignClient"]
