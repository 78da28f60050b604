"""Which photos speak against their encounter: on cases worked out by hand."""

from itertools import combinations

from resight.novelty.agreement import Compared, Matches, against


def matches(strong: str = "", weak: str = "", unclear: str = "", none: str = "", **gallery: dict[str, int]) -> Matches:
    """Of photos called by one letter: all pairs of a word have 40 inliers, 12, 0 on other sides, or 0 on one side."""
    within = {}
    for words, pair in ((none, Compared(0, True)), (unclear, Compared(0, False)), (weak, Compared(12, True)), (strong, Compared(40, True))):  # fmt: skip
        for word in words.split():
            within |= dict.fromkeys(combinations(sorted(word), 2), pair)
    return Matches(within, gallery)


def test_one_photo_that_should_match_four_and_matches_none_is_out() -> None:
    assert against("abcdx", matches("abcd", none="abcdx")) == [["x"]]
    assert against("abcx", matches("abc", none="abcx")) == [], "three proofs are too few"
    assert against("abcdx", matches("ab bc cd", none="abcdx")) == [["x"]], "a and d need not match directly"


def test_what_cannot_be_compared_is_no_evidence() -> None:
    assert against("abcdx", matches("abcd", unclear="abcdx")) == []
    assert against("abcdx", matches("abcd")) == []
    assert against("abcdx", matches(none="abcdx")) == [], "photos that match nothing prove nothing"
    assert against("abcdx", matches("abcd", weak="ax", none="abcdx")) == [], "one pair in doubt is enough"
    left_and_right = matches("abc xyz", unclear="abcxyz")
    assert against("abcxyz", left_and_right) == []


def test_photos_of_another_animal_leave_together() -> None:
    assert against("xyabcd", matches("abcd xy", none="abcdxy")) == [["x", "y"]]
    assert against("abxy", matches("ab xy", none="abxy")) == [], "four pairs, and two proofs for each"
    both = matches("abcd xy", none="abcd xy abx aby", unclear="abcdxy")
    assert against("abcdxy", both) == []


def test_two_animals_of_the_gallery_part_photos_that_nothing_else_does() -> None:
    pair = matches(a={"Ada": 50}, x={"Bo": 30})
    assert against("ax", pair) == [["x"]]
    assert against("ax", matches(a={"Ada": 50}, x={"Ada": 25})) == []
    assert against("ax", matches(a={"Ada": 50}, x={"Bo": 19})) == [], "the match is not strong"
    assert against("ax", matches(a={"Ada": 50, "Bo": 12}, x={"Bo": 30})) == [], "the other may be Bo too"
    assert against("ax", matches(a={"Ada": 50, "Cy": 50}, x={"Bo": 30})) == [], "who the other is stays open"
    assert against("ax", matches(weak="ax", a={"Ada": 50}, x={"Bo": 30})) == []


def test_of_two_halves_the_one_that_matches_better_stays() -> None:
    known = matches("abcd", none="abcdx", x={"Bo": 90})
    assert against("xabcd", known) == [["x"]], "though it comes first"
    assert against("x", known) == []
