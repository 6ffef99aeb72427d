"""Exports trained weights to the Triton model repository, with a parity check against PyTorch."""

from traffic_signs.environment import prepare_environment

prepare_environment()
