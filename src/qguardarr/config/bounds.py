"""The settings that bound single torrents of a group: the overspeed guard, and tiers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from qguardarr.config.fields import Number, Section, Speed
from qguardarr.core import model
from qguardarr.errors import Fault, InvalidValue, KeyPath

_PERCENT: Final = re.compile(r"(\d+(?:\.\d*)?)\s*%", re.ASCII)
_MOST_MARGIN: Final = 0.5
_AGE: Final = re.compile(r"(\d+(?:\.\d*)?)\s*([mhdw])", re.ASCII)
_SECONDS: Final = {"m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def _margin(value: object) -> object:
    if isinstance(value, str) and (match := _PERCENT.fullmatch(value.strip())):
        return float(match[1]) / 100
    if isinstance(value, int | float) and not isinstance(value, bool) and _MOST_MARGIN < value <= 100 * _MOST_MARGIN:
        raise InvalidValue(f"{value:g} is not a part of 1", f"write '{value:g} %'")
    return value


def _no_zero(value: object) -> object:
    return _finite(model.UNLIMITED) if value == 0 and not isinstance(value, bool) else value


def _finite(speed: int) -> int:
    if speed >= model.UNLIMITED:
        raise InvalidValue("must be a limit", "leave the setting out for no limit")
    return speed


def _age(value: object) -> object:
    match = _AGE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise InvalidValue("is not an age", "write '90m', '12h', '30d' or '2w'")
    return float(match[1]) * _SECONDS[match[2]]


def _age_as_text(seconds: float | None) -> str | None:
    return None if seconds is None else f"{seconds / 60:g}m"


Age = Annotated[float, BeforeValidator(_age), PlainSerializer(_age_as_text)]
Limit = Annotated[Speed, AfterValidator(_finite), BeforeValidator(_no_zero)]


class Overspeed(Section):
    """A site's overspeed rule for each torrent; a bare speed is its `limit`."""

    limit: Limit
    """Upload speed that the site allows each torrent from one announce to the next, bytes/s or text. No default."""
    margin: Annotated[Number, BeforeValidator(_margin), Field(ge=0.01, le=_MOST_MARGIN)] = 0.05
    """Part of it that is left unused, 1 … 50 %. Default 5 %."""

    mode: Literal["steady", "saved"] = "steady"
    """`steady`: a torrent never has a higher limit. `saved`: what it left unused since its last announce it may use
    later, under a limit of up to three times as much. Needs qBittorrent 5.1 or newer, and a torrent with one tracker;
    else it is steady. Default steady."""

    def rule(self) -> model.Overspeed:
        """Return it as the core reads it."""
        return model.Overspeed(self.limit, self.margin, self.mode == "saved")


class Tier(Section):
    """A cap for each torrent for which all conditions hold. Of several, the lowest counts."""

    above_ratio: Annotated[Number, Field(ge=0)] | None = None
    """It has uploaded this many times what it has downloaded, or more. Default: none."""
    above_age: Age | None = None
    """It was added this long ago or longer: `90m`, `12h`, `30d`, `2w`. Default: none."""
    cap: Limit
    """Most that such a torrent may upload, bytes/s or text. No default."""

    def tier(self) -> model.Tier:
        """Return it as the core reads it."""
        return model.Tier(self.cap, self.above_ratio, self.above_age)


def tier_faults(path: KeyPath, rule: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield what is wrong with the tiers of a rule at `path`."""
    tiers = rule.get("tiers")
    for index, tier in enumerate(tiers if isinstance(tiers, list | tuple) else ()):
        if isinstance(tier, Mapping) and not {"above_ratio", "above_age"} & tier.keys():
            yield Fault(
                (*path, "tiers", index),
                "has no condition",
                "add above_ratio or above_age, or set max_upload_speed for all torrents together",
            )


def parent_bound_faults(entries: Sequence[object]) -> Iterator[Fault]:
    """Yield bounds of torrents at entries of `trackers` that others name as their parent."""
    found = [entry if isinstance(entry, Mapping) else {} for entry in entries]
    parents = [entry.get("parent") for entry in found]
    for index, entry in enumerate(found):
        for key in sorted({"overspeed", "tiers"} & entry.keys()):
            if entry[key] and entry.get("id") in parents:
                yield Fault(
                    ("trackers", index, key),
                    "bounds single torrents, and this entry selects none",
                    "write it at the entries beneath it",
                )


def useless_tiers(tiers: tuple[Tier, ...]) -> Iterator[Tier]:
    """Yield tiers that change nothing: whenever they hold, another one holds with a cap that is no higher."""
    for number, tier in enumerate(tiers):
        for place, other in enumerate(tiers):
            same = other.cap == tier.cap and _holds_whenever(tier, other)
            if other.cap <= tier.cap and _holds_whenever(other, tier) and (place < number if same else place != number):
                yield tier
                break


def _holds_whenever(other: Tier, tier: Tier) -> bool:
    pairs = ((other.above_ratio, tier.above_ratio), (other.above_age, tier.above_age))
    return all(mine is None or (theirs is not None and mine <= theirs) for mine, theirs in pairs)


def overspeed_as_mapping(value: object) -> object:
    """Return the mapping that a bare speed stands for."""
    return {"limit": value} if isinstance(value, str | int | float) and not isinstance(value, bool) else value
