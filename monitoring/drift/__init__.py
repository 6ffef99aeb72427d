"""Has what the recognizer sees changed? Its live metrics against the reference that its version carries."""
