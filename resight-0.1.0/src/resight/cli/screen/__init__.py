"""Results that need tables on the terminal: a run, and the comparison of methods."""
