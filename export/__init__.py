"""Moves trained weights into the Triton model repository, with proof that nothing changed on the way."""

from traffic_signs.environment import prepare_environment

prepare_environment()
