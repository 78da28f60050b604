"""The base of every settings group, and the kinds that a stage can choose from."""
