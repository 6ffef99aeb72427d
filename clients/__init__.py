"""What people use the served models with: the `signs` command, the gateway and the benchmark."""
