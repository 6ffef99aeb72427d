"""Learns to find signs in street scenes, and judges what was found."""
