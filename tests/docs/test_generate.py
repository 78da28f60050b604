"""The pages that the documentation site makes from the program."""

import importlib.util
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    pytest.importorskip("mkdocs")
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Verify(BaseModel):
    threshold_px: float = Field(
        8.0, description="distance | limit", json_schema_extra={"expert": True, "affects": "model"}
    )


class Nearest(BaseModel):
    """Mutual nearest neighbours.

    More that the page leaves out.
    """

    kind: Literal["nearest"] = "nearest"
    ratio: float | None = Field(0.85, description="ratio test")
    verify: Verify = Verify()


def test_settings_of_an_expert_are_apart_and_groups_are_laid_out_flat(generate: Any) -> None:
    field_team = "\n".join(generate.section_of("match", [Nearest], expert=False))
    expert = "\n".join(generate.section_of("match", [Nearest], expert=True))
    assert "| `ratio` | ratio test | `0.85` | number or nothing |" in field_team and "threshold_px" not in field_team
    assert "| `verify.threshold_px` | distance \\| limit | `8.0` | number | model |" in expert and "ratio" not in expert
    assert "Mutual nearest neighbours." in field_team and "More that" not in field_team


def test_every_section_of_the_settings_and_every_kind_is_on_the_page(generate: Any) -> None:
    from resight.settings import Settings

    page = generate.settings_page()
    for section, field in Settings.model_fields.items():
        groups = generate.models_of(field)
        assert (f"### {section}\n" if groups else f"| `{section}` |") in page
        for group in groups if len(groups) > 1 else []:
            assert f'#### {section}.kind = "{group.model_fields["kind"].default}"' in page


def test_every_command_is_on_the_page(generate: Any) -> None:
    page = generate.command_line_page()
    assert "## resight nightly\n" in page and "## resight weights fetch\n" in page and "`--workspace, -w`" in page


@pytest.mark.parametrize(
    ("page", "text", "expected"),
    [
        ("index.md", "[table](catalog/DICTIONARY.md)", "[table](reference/tables.md)"),
        ("index.md", "![shot](docs/report.png)", "![shot](report.png)"),
        ("matcher.md", "[why](../DECISIONS.md#here)", "[why](decisions.md#here)"),
        ("how-to/add-names.md", "[server](../../deploy/README.md)", "[server](run-on-a-cluster.md)"),
        ("contributing.md", "[the settings](pyproject.toml)", "the settings"),
        ("matcher.md", "[paper](https://example.org/x)", "[paper](https://example.org/x)"),
        ("matcher.md", "[gone](not-there.md)", "[gone](not-there.md)"),
    ],
)
def test_links_between_documents_lead_to_pages(generate: Any, page: str, text: str, expected: str) -> None:
    assert generate.on_page_markdown(text, SimpleNamespace(file=SimpleNamespace(src_uri=page))) == expected


def test_documents_and_the_notebook_become_pages(generate: Any) -> None:
    for document in generate.DOCUMENTS.values():
        assert (ROOT / document).is_file()
    page = generate.notebook_page(ROOT / "docs" / "notebooks" / "open_a_run.ipynb")
    assert page.startswith("# Open a run") and "```python\nimport os" in page
