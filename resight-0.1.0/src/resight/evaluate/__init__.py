"""How good are the answers? Splits that do not leak, outcomes of every query, metrics with intervals, and two runs compared."""
