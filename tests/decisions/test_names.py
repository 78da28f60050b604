"""Which names are one name, misspelt."""

import pytest

from resight.decisions.names import alike, did_you_mean, doubtful_pairs, similar


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("donatello", "Donatello"),
        ("Donatelo", "Donatello"),
        ("Dona tello", "Donatello"),
        ("Michaelangelo", "Michelangelo"),
        ("Miele", "Mielé"),
        ("Zroa", "Zora"),
        ("T-12", "t12"),
        ("T 012", "T12"),
    ],
)
def test_misspelt_names_are_alike(one: str, other: str) -> None:
    assert alike(one, other) and alike(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("T12", "T13"),
        ("Leo", "Lea"),
        ("Zora", "Zita"),
        ("Maia", "Naia"),
        ("Marina", "Martha"),
        ("CC01", "CC10"),
        ("A", "a b"),
    ],
)
def test_two_animals_are_two(one: str, other: str) -> None:
    assert not alike(one, other)


def test_the_nearest_known_name_comes_first_and_a_known_name_is_no_mistake() -> None:
    known = ["Donatella", "Donatello", "Leonardo"]
    assert similar("donatello", known) == ["Donatello", "Donatella"]
    assert similar("Donatello", known) == []
    assert similar("Raffael", known) == []
    assert did_you_mean("donatello", similar("donatello", known)).endswith("did you mean Donatello?")


def test_pairs_in_a_list_are_those_that_comparing_all_would_find() -> None:
    names = [
        "Donatello",
        "donatello",
        "Donatelo",
        "Leonardo",
        "Lenoardo",
        "T12",
        "T13",
        "t-12",
        "Zora",
        "Zorra",
        "Leo",
        "Lea",
    ]
    photos_of = {name: k + 1 for k, name in enumerate(names)}
    everything = {frozenset((a, b)) for a in names for b in names if a != b and alike(a, b)}
    found = doubtful_pairs(photos_of)
    assert {frozenset(pair) for pair in found} == everything and len(found) == len(everything) > 4
    assert all(photos_of[rare] < photos_of[often] for rare, often in found)
    apart = frozenset({frozenset(("Zora", "Zorra"))})
    assert {frozenset(p) for p in doubtful_pairs(photos_of, apart)} == everything - apart


def test_numbered_names_are_not_compared_with_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[str, str]] = []

    def noted(one: str, two: str) -> bool:
        compared.append((one, two))
        return alike(one, two)

    monkeypatch.setattr("resight.decisions.names.alike", noted)
    numbered = {f"turtle{number:05d}": 1 for number in range(2_000)}
    assert doubtful_pairs(numbered | {"Turtle 7": 3}) == [("turtle00007", "Turtle 7")]
    assert len(compared) == 1
