"""How fast the served models are: `signs bench`, and in `peers` what else they could be served with."""

from training.telemetry import disable_telemetry

disable_telemetry()
