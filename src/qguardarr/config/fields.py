"""The base of all sections, and the types of values that several of them use."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from qguardarr.core.units import limit_or_minus_one, parse_rate, parse_speed


def _no_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a number, not yes or no")
    return value


def _path(value: object) -> object:
    if isinstance(value, str) and not value.strip():
        raise ValueError("must be a path; it is empty")
    try:
        return Path(_no_controls(value)).expanduser() if isinstance(value, str) else value
    except RuntimeError:
        raise ValueError("begins with '~', and there is no such user, or the user has no home") from None


def _no_controls(value: str) -> str:
    if any(unicodedata.category(sign) == "Cc" for sign in value):
        raise ValueError("must hold no line breaks or other control characters")
    return value


Speed = Annotated[int, BeforeValidator(parse_speed), PlainSerializer(limit_or_minus_one)]
Rate = Annotated[int, BeforeValidator(parse_rate)]
Whole = Annotated[int, BeforeValidator(_no_bool)]
Number = Annotated[float, BeforeValidator(_no_bool), Field(allow_inf_nan=False)]
Fraction = Annotated[Number, Field(ge=0, le=1)]
Port = Annotated[Whole, Field(ge=1, le=65535)]
FilePath = Annotated[Path, BeforeValidator(_path)]
Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_no_controls)]


class Section(BaseModel):
    """Base of all sections. It is frozen, and forbids unknown keys."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
        validate_by_name=True,
        validate_by_alias=True,
    )
