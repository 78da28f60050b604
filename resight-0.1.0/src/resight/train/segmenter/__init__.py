"""Training of the bundled head finder: ``resight train segmenter``."""
