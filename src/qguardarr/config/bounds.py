"""The settings that bound single torrents of a group: the overspeed guard, and tiers."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field

from qguardarr.config.fields import Number, Section, Speed
from qguardarr.core import model
from qguardarr.errors import InvalidValue

_PERCENT: Final = re.compile(r"(\d+(?:\.\d*)?)\s*%", re.ASCII)
_MOST_MARGIN: Final = 0.5


def _margin(value: object) -> object:
    if isinstance(value, str) and (match := _PERCENT.fullmatch(value.strip())):
        return float(match[1]) / 100
    if isinstance(value, int | float) and not isinstance(value, bool) and _MOST_MARGIN < value <= 100 * _MOST_MARGIN:
        raise InvalidValue(f"{value:g} is not a part of 1", f"write '{value:g} %'")
    return value


def _finite(speed: int) -> int:
    if speed >= model.UNLIMITED:
        raise InvalidValue("must be a limit", "leave the setting out for no limit")
    return speed


Limit = Annotated[Speed, AfterValidator(_finite)]


class Overspeed(Section):
    """A site's overspeed rule for each torrent; a bare speed is its `limit`."""

    limit: Limit
    """Upload speed that the site allows each torrent from one announce to the next, bytes/s or text. No default."""
    margin: Annotated[Number, BeforeValidator(_margin), Field(ge=0.01, le=_MOST_MARGIN)] = 0.05
    """Part of it that is left unused, 1 … 50 %. Default 5 %."""

    def rule(self) -> model.Overspeed:
        """Return it as the core reads it."""
        return model.Overspeed(self.limit, self.margin)


def overspeed_as_mapping(value: object) -> object:
    """Return the mapping that a bare speed stands for."""
    return {"limit": value} if isinstance(value, str | int | float) and not isinstance(value, bool) else value
