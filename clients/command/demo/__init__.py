"""`signs demo`: the whole loop in one command."""
