"""Python client for the traffic-sign models on Triton: photographs or crops in, named signs out."""

from traffic_sign_client.answers import Prediction, Sign, SignClass
from traffic_sign_client.client import AsyncSignClient, SignClient

__all__ = ["AsyncSignClient", "Prediction", "Sign", "SignClass", "SignClient"]
