"""Compares the project's Triton with what people would otherwise serve the same networks with; see README.md."""
