"""Weights: which files there are, where to get them, and the proof that they are the right ones."""
