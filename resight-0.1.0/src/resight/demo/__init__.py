"""Pictures of turtles that do not exist: a small survey with known truth, to try the program on without any photos."""
