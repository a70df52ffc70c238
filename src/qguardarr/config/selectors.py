"""What an entry of `trackers` selects torrents by, besides its pattern for announce URLs."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, model_validator

from qguardarr.config.fields import Number, Section
from qguardarr.config.validators import TextError
from qguardarr.core.model import Range, Selector
from qguardarr.core.select.pattern import compile_pattern
from qguardarr.core.select.words import duration_words
from qguardarr.errors import InvalidValue

SELECTORS: Final = (
    "pattern", "category", "tags", "private", "ratio", "age", "size", "state", "torrent_name", "instance", "not",
)  # fmt: skip
"""Keys that say which torrents an entry selects."""

_NOTHING: Final[tuple[object, ...]] = (None, "", (), [], {})
"""Values of a condition that is not set. False is none of them."""
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_AGE: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*([smhdw])", re.ASCII)
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_SIZE: Final = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s*([kmgt]?)(i?)b?", re.IGNORECASE | re.ASCII)
_POWERS: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def is_set(value: object) -> bool:
    """Return whether the value of a condition, as it is written, asks for anything."""
    return value not in _NOTHING


def url_pattern(value: str) -> str:
    """Return a pattern for announce URLs."""
    if not compile_pattern(value).verbose and _CONTROL.search(value):
        raise TextError(
            "holds a control character, which no announce URL does (double quotes make one of \\b)",
            "write it in single quotes",
        )
    return value


def _name_pattern(value: str) -> str:
    if not compile_pattern(value).verbose and _CONTROL.search(value):
        raise TextError("holds a control character (double quotes make one of \\b)", "write it in single quotes")
    return value


def _category(value: str) -> str:
    if value != value.strip().strip("/"):
        raise TextError(
            "begins or ends with a space or '/'", "write it as qBittorrent shows it; those beneath it are included"
        )
    return value


def _tag(value: str) -> str:
    if "," in value:
        raise TextError("holds a comma, which no tag does", "write a list, such as [keep, gold]")
    return value.strip()


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str | dict) else value


def parse_age(value: object) -> float:
    """Return the seconds of a duration such as `90m`, `12h`, `30d`, `2w`. Raises `InvalidValue`."""
    match = _AGE.fullmatch(value.strip().lower()) if isinstance(value, str) else None
    if match is None:
        raise InvalidValue("is not a duration", "write minutes, hours, days or weeks, such as 90m, 12h, 30d, 2w")
    return float(match[1]) * _SECONDS[match[2]]


def parse_size(value: object) -> int:
    """Return the bytes of a size such as `10 GiB`. Raises `InvalidValue`."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise InvalidValue("is not a size", "write it such as 700 MB or 10 GiB")
    return int(float(match[1]) * (1024 if match[3] else 1000) ** _POWERS[match[2].lower()])


Age = Annotated[float, BeforeValidator(parse_age), PlainSerializer(duration_words)]
Size = Annotated[int, BeforeValidator(parse_size)]
Ratio = Annotated[Number, Field(ge=0)]


class _Bounds(Section):
    """Base of ranges."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        above, below = self.__dict__["above"], self.__dict__["below"]
        if above is None and below is None:
            raise InvalidValue("has no bound", "write 'above', 'below', or both")
        if above is not None and below is not None and above >= below:
            raise InvalidValue("'above' is not less than 'below'", "exchange them, or remove one")
        return self

    def as_range(self) -> Range:
        """Return it as the core reads it."""
        return Range(self.__dict__["above"], self.__dict__["below"])


class RatioBounds(_Bounds):
    """Ratios, from `above` on and less than `below`."""

    above: Ratio | None = None
    """Least ratio. Default: any."""
    below: Ratio | None = None
    """The ratio is less than this. Default: any."""


class AgeBounds(_Bounds):
    """Times since a torrent was added, from `above` on and less than `below`."""

    above: Age | None = None
    """Least age: `90m`, `12h`, `30d`, `2w`. Default: any."""
    below: Age | None = None
    """The age is less than this. Default: any."""


class SizeBounds(_Bounds):
    """Sizes, from `above` on and less than `below`."""

    above: Size | None = None
    """Least size: bytes, or text such as `10 GiB`. Default: any."""
    below: Size | None = None
    """The size is less than this. Default: any."""


UrlPattern = Annotated[str, AfterValidator(url_pattern)]
NamePattern = Annotated[str, AfterValidator(_name_pattern)]
Categories = Annotated[tuple[Annotated[str, AfterValidator(_category)], ...], BeforeValidator(_as_list)]
Tags = Annotated[tuple[Annotated[str, AfterValidator(_tag)], ...], BeforeValidator(_as_list)]
State = Literal["downloading", "seeding"]
Servers = Annotated[tuple[str, ...], BeforeValidator(_as_list)]


class LeftOut(Section):
    """Torrents that an entry leaves out: those for which all conditions hold. Each means what it means in the entry."""

    pattern: UrlPattern = ""
    """One of the announce URLs matches. Default: any."""
    category: Categories = ()
    """One of these categories, or beneath one. Default: any."""
    tags: Tags = ()
    """At least one of these tags. Default: any."""
    private: bool | None = None
    """Private, or not. Default: either."""
    ratio: RatioBounds | None = None
    """Ratio. Default: any."""
    age: AgeBounds | None = None
    """Time since it was added. Default: any."""
    size: SizeBounds | None = None
    """Size. Default: any."""
    state: State | None = None
    """`downloading` or `seeding`. Default: either."""
    torrent_name: NamePattern = ""
    """The name matches. Default: any."""
    instance: Servers = ()
    """On one of these of several qBittorrents. Default: any."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not any(map(is_set, self.__dict__.values())):
            raise InvalidValue("has no condition", "write one, such as 'tags: [slow]', or remove 'not'")
        return self


Excluded = Annotated[tuple[LeftOut, ...], BeforeValidator(_as_list)]


def selector_of(section: Any, unless: tuple[LeftOut, ...] = ()) -> Selector:
    """Return the conditions of an entry, or of what one leaves out, as the core reads them.

    The pattern of an entry is left to `TrackerClass`.
    """

    def bounds(name: str) -> Range:
        found: _Bounds | None = getattr(section, name)
        return Range() if found is None else found.as_range()

    return Selector(
        pattern=section.pattern if isinstance(section, LeftOut) else "",
        category=section.category,
        tags=section.tags,
        private=section.private,
        ratio=bounds("ratio"),
        age=bounds("age"),
        size=bounds("size"),
        state=section.state,
        name=section.torrent_name,
        instance=section.instance,
        unless=tuple(selector_of(left_out) for left_out in unless),
    )
