"""Method by method on the same crops and the same split: how often right, how good at telling new from known, how fast."""
