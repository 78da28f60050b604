"""Training of the bundled head finder: ``python -m resight.train.segmenter --data ../shared/data``."""
