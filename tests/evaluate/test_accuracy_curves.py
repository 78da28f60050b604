"""The drawings of docs/how-accurate.md show what was measured, and nothing that too few queries stand behind."""

import json
from xml.etree import ElementTree

from accuracy_curves import PANELS, drawn, main, points_of
from evaluate_helpers import CONTEXT, outcome, photo, table

from resight.evaluate.accuracy import accuracy_rows

SIZE, TIME, VIEW, PHOTOS = PANELS


def measured() -> list[dict[str, object]]:
    def about(k: int) -> dict[str, object]:
        seen = {"viewpoint": "left" if k < 40 else "top", "days_between": 10 if k < 44 else 4000}
        return {"rank": 1 if k % 4 else 3, "n_gallery_photos": 1 + k % 20, "n_gallery_individuals": 30, **seen}

    photos = [photo(f"p{k}", f"t{k % 7}", **about(k)) for k in range(48)]
    encounters = [outcome(f"e{k}", f"t{k % 7}", **about(k)) for k in range(24)]
    return accuracy_rows(table(photos + encounters), CONTEXT)


def test_what_is_drawn_is_what_was_measured(tmp_path):
    (tmp_path / "now.json").write_text(json.dumps(measured(), default=str))
    main([str(tmp_path / "now.json"), "--points", str(tmp_path / "kept.csv"), "--out", str(tmp_path)])
    first = {panel.file: (tmp_path / panel.file).read_text() for panel in PANELS}
    main([str(tmp_path / "kept.csv"), "--out", str(tmp_path)])
    assert first == {panel.file: (tmp_path / panel.file).read_text() for panel in PANELS}, "kept figures draw the same"
    for text in first.values():
        ElementTree.fromstring(text)
    sizes = drawn(SIZE, points_of(measured()))
    assert [text for _, text in sizes.x_ticks] == ["10", "20", "30"] and len(sizes.layers) == 2
    places = [y for _, y, _ in sizes.layers[1].dots]
    assert places == sorted(places) and places[0] < places[-1], "the larger the gallery, the lower on the page"


def test_groups_of_few_queries_and_views_of_several_photos_are_not_drawn():
    points = points_of(measured())
    assert {p["value"] for p in points if p["group"] == "days_between"} == {"1-30", "1826+"}
    assert [text for _, text in drawn(TIME, points).x_ticks] == ["a month"]
    (photos,) = [layer for layer in drawn(VIEW, points).layers if layer.name == "photos alone"]
    assert len(photos.dots) == 1 and photos.whiskers and not photos.line


def test_a_folder_without_views_has_the_other_drawings(tmp_path, capsys):
    rows = [row for row in measured() if not row["stratum"].startswith("viewpoint")]
    (tmp_path / "now.json").write_text(json.dumps(rows, default=str))
    main([str(tmp_path / "now.json"), "--out", str(tmp_path)])
    assert sorted(p.name for p in tmp_path.glob("*.svg")) == sorted({p.file for p in PANELS} - {VIEW.file})
    assert VIEW.file in capsys.readouterr().out
