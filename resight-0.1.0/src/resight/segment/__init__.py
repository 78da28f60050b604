"""Stage ``segment``: from a photo to upright, padded crops of the animal, each with a mask."""
