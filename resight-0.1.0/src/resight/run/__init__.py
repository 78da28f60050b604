"""One run: its settings and model, what its stages share, and how every photo ended."""
