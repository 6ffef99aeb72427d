"""Runs the comparison."""

from clients.benchmark.peers.cli import main

main()
