"""How good a model is, wherever it runs: in PyTorch, in ONNX Runtime or on a server."""
