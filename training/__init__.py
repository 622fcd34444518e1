"""Offline: pictures in folders become one checkpoint file."""
