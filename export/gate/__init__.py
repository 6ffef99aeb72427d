"""The promotion gate's rules: figures in, a verdict out; nothing here reads a file or asks a server."""
