"""Stage ``novelty``: is the best candidate the animal, or has nobody seen this one before?"""
