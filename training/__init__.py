"""Learns to recognise German traffic signs: data, models, training and evaluation runs."""

from training.surroundings import prepare_environment

prepare_environment()
