"""The `signs` command: a file for each of its commands. It imports everything, and nothing imports it."""
