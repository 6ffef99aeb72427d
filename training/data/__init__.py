"""Data sets of traffic signs: records, readers, audits, and drawn signs for use without real data."""
