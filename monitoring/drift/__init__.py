"""Drift: compares the live metrics of the recognizer with the reference in its version."""
