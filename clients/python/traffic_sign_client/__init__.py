"""The Python client of the traffic signs: photographs or crops in, named signs out."""

from traffic_sign_client.answers import Prediction, Sign, SignClass
from traffic_sign_client.client import AsyncSignClient, SignClient

__all__ = ["AsyncSignClient", "Prediction", "Sign", "SignClass", "SignClient"]
