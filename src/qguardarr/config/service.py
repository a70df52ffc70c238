"""The settings of everything but the caps: API, notifications, cross-seed, journal, log. See `schema.py`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, SecretStr

from qguardarr.alert_events import ALERT_EVENTS, AlertEvent
from qguardarr.config import validators
from qguardarr.config.fields import FilePath, Name, Number, Section, Whole


def _secret(check: Callable[[str], str]) -> AfterValidator:
    """Return a validator that puts `check` to the text of a secret."""
    return AfterValidator(lambda value: SecretStr(check(value.get_secret_value())))


def _filled(value: SecretStr | None) -> SecretStr | None:
    """Return None for an empty text, which files of the earlier Qguardarr have."""
    return value or None


def _webhook_url(value: SecretStr | None) -> SecretStr | None:
    return SecretStr(validators.webhook_url(value.get_secret_value())) if value else None


def _once(events: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(events))


class Auth(Section):
    """Who may use the HTTP API. `auth: none` in place of the section asks nobody for a key."""

    api_key: Annotated[SecretStr, _secret(validators.api_key)] | None = None
    """Key that programs send as `X-Api-Key`: 16 to 512 ASCII characters without spaces, best as `${…}` from the
    environment. Default: the variable QGUARDARR_API_KEY, else one is made at the first start and kept in `api.key`
    beside the journal (`qguardarr api-key` prints it)."""
    username: Name | None = None
    """Name for a person to log in, together with `password`. Default: none, only the key works."""
    password: Annotated[SecretStr, _secret(validators.password)] | None = None
    """The person's password: the text itself, best as `${…}`, or its argon2id hash, which `qguardarr hash-password`
    prints. Default: none."""
    forward_header: Annotated[str, AfterValidator(validators.forward_header)] | None = None
    """Header in which a reverse proxy that logs people in names the person: `Remote-User` (Authelia),
    `X-authentik-username`, `X-Forwarded-User`. Counts only from `http.trusted_proxies`, under an address, a private
    name or one of `http.allowed_hosts`; the proxy has to replace it in each request. Default: none, it is ignored."""


class Http(Section):
    """The HTTP API; where it listens is in `global` (`host`, `port`)."""

    base_path: Annotated[str, AfterValidator(validators.base_path)] = ""
    """Path prefix under which a reverse proxy shows it, like `/qguardarr`. Default: none."""
    trusted_proxies: tuple[Annotated[str, AfterValidator(validators.network)], ...] = ()
    """IP addresses or networks of reverse proxies whose X-Forwarded-For and X-Forwarded-Proto are trusted, and
    `auth.forward_header`. Trusting others would let anybody pass for anybody. Default: none."""
    allowed_hosts: tuple[Annotated[str, AfterValidator(validators.public_name)], ...] = ()
    """With `auth: none` or `auth.forward_header` only: public host names of the API. Otherwise a page from elsewhere
    could point its own name here and give orders (DNS rebinding). Addresses, names without a dot and private zones such
    as `.local` are always allowed. Default: none."""
    metrics: Literal["key", "open"] = "key"
    """Who may read `/metrics`, which show your trackers and their rates: holders of the `key`, or everybody (`open`).
    Default key."""


class Notifications(Section):
    """Messages to people, through Apprise."""

    urls: tuple[Annotated[SecretStr, _secret(validators.notification_url)], ...] = ()
    """Apprise URLs, kept secret since they hold tokens. Default: none, nothing is sent."""
    events: Annotated[tuple[AlertEvent, ...], AfterValidator(_once)] = ALERT_EVENTS
    """Events to report: a cap exceeded (`over_cap`), qBittorrent lost and back (`qbittorrent_lost`), left alone after
    many failures (`breaker_open`), a plan refused as unsafe (`plan_refused`), a limit found set by hand
    (`manual_limit`), another program that sets limits (`foreign_limits`), many errors (`errors`). Default: all."""
    after: Annotated[Number, Field(ge=0, le=86400)] = 60.0
    """Seconds that an event must last before it is reported, 0 … 86400. Default 60."""
    repeat: Annotated[Number, Field(ge=60)] = 21600.0
    """Seconds after which it is reported again while it lasts, at least 60. Default 21600."""


class CrossSeed(Section):
    """Reporting completed torrents to cross-seed."""

    enabled: bool = False
    """Report completed torrents to cross-seed. Default false."""
    url: Annotated[SecretStr | None, AfterValidator(_webhook_url)] = None
    """Address of cross-seed's webhook, `http://localhost:2468/api/webhook`; `/api/webhook` may be left out. Kept
    secret, as it may hold a key (`?apikey=`). Default: none."""
    api_key: Annotated[SecretStr | None, AfterValidator(_filled)] = None
    """Key of cross-seed's API. Default: none."""
    timeout: Annotated[Number, Field(gt=0, le=600)] = 15.0
    """Seconds to wait for an answer. Default 15."""


class Rollback(Section):
    """The journal of every change, from which original limits are restored."""

    database_path: FilePath = Path("data/qguardarr.db")
    """SQLite file of the journal, on a disk that outlives restarts. A change takes effect at a restart: move the files
    first. Default data/qguardarr.db, relative to the folder of this file."""
    track_all_changes: bool = True
    """Keep the history for `retention_days`; `false` keeps one day of it, and what a rollback needs. Default true."""
    retention_days: Annotated[Whole, Field(ge=1, le=36500)] = 30
    """Days to keep history. Originals that are not restored yet stay longer, unless the torrent has been gone from
    qBittorrent for that long. Default 30."""
    on_shutdown: Literal["keep", "restore"] = "keep"
    """What happens to limits when Qguardarr ends: they stay (`keep`), or originals come back (`restore`).
    Default keep."""

    _former_paths: tuple[Path, ...] = PrivateAttr(())

    @property
    def former_paths(self) -> tuple[Path, ...]:
        """Where earlier versions kept the journal if its path is relative: they started at the working directory."""
        return self._former_paths


class Logging(Section):
    """Level, format and file of the log."""

    level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(validators.log_level)] = "INFO"
    """Least severe messages that are logged: DEBUG, INFO, WARNING or ERROR. Default INFO."""
    format: Literal["console", "json"] = "console"
    """`console` for people, `json` for machines (one object a line). Default console."""
    file: FilePath | None = None
    """File to log to, besides the terminal. Default: none."""
    max_size_mb: Annotated[Whole, Field(ge=1)] = 50
    """Size in MiB at which the file is rotated. Default 50."""
    backup_count: Annotated[Whole, Field(ge=0)] = 5
    """Number of rotated files to keep. Default 5."""
