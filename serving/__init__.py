"""Runs NVIDIA Triton Inference Server: finds or installs it, starts it, stops it."""

from pathlib import Path

RECOGNIZER_SOURCES = Path(__file__).parent / "recognizer"  # files of the Python model sign_recognizer
