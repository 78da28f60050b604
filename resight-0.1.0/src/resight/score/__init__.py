"""Stage ``score``: from a pair's distribution of confidences to numbers, all of them without matching again."""
