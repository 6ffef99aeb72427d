"""Which serving settings are fastest on this machine: measured on a server of its own."""
