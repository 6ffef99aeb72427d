"""The names of the tensors that the networks are served with; without PyTorch and ONNX, so that clients can read them.

What the recognizer's own sources call them stands there once more: Triton runs these without anything of ours.
"""

INPUT_NAME, OUTPUT_NAME = "images", "probabilities"  # of a classifier
SCENES, DETECTOR_OUTPUTS = "scenes", ("boxes", "scores", "categories")  # of a detector
