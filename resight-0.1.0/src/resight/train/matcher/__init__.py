"""Training of the bundled LightGlue for SIFT: pairs with known truth, the loop, the weights; and fine-tuning on a gallery."""
