"""Data sets, networks, training and evaluation of traffic sign models."""

from traffic_signs.environment import prepare_environment

prepare_environment()
