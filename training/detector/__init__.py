"""Training and evaluation of the detector, which finds signs in street scenes."""
