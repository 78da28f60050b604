"""Stage ``match``: from two feature sets to matches with a confidence each, and from there to a distribution."""
