"""Data sets of traffic signs: one record type, readers, and drawings for when no real data is at hand."""
