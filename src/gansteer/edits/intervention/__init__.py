"""Turning an attribute inside a region only."""
