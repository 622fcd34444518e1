"""Figures, never verdicts: a table for people, one JSON line last."""
