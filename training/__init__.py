"""Learns to recognise German traffic signs: data, models, training and evaluation runs."""
