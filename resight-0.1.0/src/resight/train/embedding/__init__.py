"""A global embedding of heads: an EfficientNet-Lite0, trained on labelled photos with margin softmax."""
