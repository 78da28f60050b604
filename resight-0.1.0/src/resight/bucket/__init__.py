"""A copy of the results in object storage, for readers elsewhere."""
