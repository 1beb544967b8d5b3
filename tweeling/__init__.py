"""Tweeling: the live twin of a network of circular-economy hubs."""

__version__ = "0.1.0"
