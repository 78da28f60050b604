"""The embedding: a crop of a head as a point on a sphere, near those of the same animal and side."""
