"""Moves trained weights into the Triton model repository, with proof that nothing changed on the way."""
