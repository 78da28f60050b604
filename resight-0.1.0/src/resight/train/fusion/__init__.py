"""The fusion's shipped prior: learned from runs of `resight evaluate` on labelled folders, and judged animal by animal."""
