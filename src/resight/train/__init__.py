"""Training of the models that come with the package. Nothing here is needed to identify turtles."""
