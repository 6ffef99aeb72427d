"""Training, calibration and evaluation of the classifier, which names the sign in a crop."""
