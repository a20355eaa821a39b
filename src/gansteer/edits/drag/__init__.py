"""Dragging points of a picture."""
