"""Weights of the bundled matcher, with their recipe and curves; only data."""
