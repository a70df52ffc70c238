"""README and docs/: short enough, with links that lead somewhere, and a reference that agrees with the schema."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs import settings
from tests.support.paths import ROOT

PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]


def test_readme_has_at_most_150_lines() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_to_a_heading_in_it(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text in headings}, target


def test_the_reference_of_the_settings_is_the_schema_s() -> None:
    assert settings.PAGE.read_text(encoding="utf-8") == settings.page(), "run: python docs/settings.py"


def test_measurements_name_benches_that_exist() -> None:
    text = (ROOT / "docs/measurements.md").read_text(encoding="utf-8")
    named = {module.replace(".", "/") for module in re.findall(r"python -m (bench\.\w+)", text)}
    named |= {file.removesuffix(".py") for file in re.findall(r"python (bench/\w+\.py)", text)}
    assert named
    assert all((ROOT / f"{name}.py").is_file() for name in named)
