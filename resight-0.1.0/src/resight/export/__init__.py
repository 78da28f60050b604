"""Sightings of a run, and the files that other programs need from them."""
