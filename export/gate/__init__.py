"""The gate: compares a challenger with the champion before its promotion."""
