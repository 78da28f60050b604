"""Trainings behind ``resight train``: the matcher, the segmenter, the embedding and the fusion's prior."""
