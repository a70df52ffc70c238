"""Write the reference of docs/configuration.md from the schema's docstrings: `python docs/settings.py`."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from qguardarr.config import Config
from qguardarr.config.outline import LISTED, model_in

PAGE: Final = Path(__file__).with_name("configuration.md")
_MARK: Final = "a test fails if the two differ. -->\n"
_DEFAULT: Final = re.compile(r"\s*(?:Default:? (?P<value>.*?)\.?|(?P<none>No default)\.)$", re.DOTALL)


def reference() -> str:
    """Return a chapter for each section: its meaning, and a table of its settings."""
    return "\n".join(_chapters())


def page() -> str:
    """Return docs/configuration.md with the reference as the schema has it now."""
    head, mark, _ = PAGE.read_text(encoding="utf-8").partition(_MARK)
    return f"{head}{mark}\n{reference()}"


def _chapters() -> Iterator[str]:
    for name, field in Config.model_fields.items():
        section = model_in(field.annotation)
        assert section is not None, f"{name} is no section"
        yield from _chapter(_shown(name, field), section, told=set())


def _chapter(title: str, section: type[BaseModel], told: set[type[BaseModel]]) -> Iterator[str]:
    """Yield the chapter of a section, then those of the sections in it that were not `told` before."""
    meaning = (section.__doc__ or "").partition("\n\n")[0]
    yield f"### `{title}`\n\n{_folded(meaning)}\n"
    yield "| setting | default | meaning |\n|---|---|---|"
    yield from _rows(section)
    yield ""
    for name, field in section.model_fields.items():
        inner = model_in(field.annotation)
        if inner is not None and inner not in told:
            told.add(inner)
            yield from _chapter(f"{title}.{_shown(name, field)}", inner, told)


def _shown(name: str, field: FieldInfo) -> str:
    """Return a key as people write it, with `[]` for a list."""
    shown = "qbittorrent" if name == LISTED else field.alias or name
    return f"{shown}{'[]' if typing.get_origin(field.annotation) is tuple else ''}"


def _rows(section: type[BaseModel]) -> Iterator[str]:
    inherited = {name for base in section.__bases__ if issubclass(base, BaseModel) for name in base.model_fields}
    for name, field in section.model_fields.items():
        if name in inherited:  # it stands in the chapter of the other section
            continue
        meaning = _folded(field.description)
        found = _DEFAULT.search(meaning)
        assert found, f"{section.__name__}.{name} does not end with its default"
        default = "required" if found["none"] else found["value"]
        yield f"| `{field.alias or name}` | {default} | {meaning[: found.start()]} |"


def _folded(docstring: str | None) -> str:
    """Return a docstring as one line of a table."""
    assert docstring, "a setting has no docstring"
    return " ".join(docstring.split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
