"""What people use the served models with: the Python clients and the `signs` command."""

from clients.client import Prediction, SignClient
from clients.recognizer import RecognizerClient, Sign

__all__ = ["Prediction", "RecognizerClient", "Sign", "SignClient"]
