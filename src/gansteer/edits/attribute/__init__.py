"""Turning attributes of a whole picture."""
