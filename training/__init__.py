"""Learns to recognise German traffic signs: data, models, training and evaluation runs."""

from traffic_signs.surroundings import prepare_environment

prepare_environment()
