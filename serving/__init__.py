"""Runs NVIDIA Triton Inference Server: finds or installs it, starts it, stops it."""
