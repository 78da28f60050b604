"""A global embedding of heads: a compact ConvNeXt, trained on the labelled photos by metric learning with circle loss."""
