"""How fast the served models are: `signs bench`, and in `peers` what else they could be served with."""

from traffic_signs.environment import prepare_environment

prepare_environment()
