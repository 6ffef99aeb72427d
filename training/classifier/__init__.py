"""Naming the sign of a crop: training, calibration and evaluation of the classifier."""
