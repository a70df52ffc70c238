"""How to reach qBittorrent: the section `qbittorrent`, which is a mapping, or a list of several."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar

from pydantic import AfterValidator, Field, SecretStr

from qguardarr.config import validators
from qguardarr.config.fields import FilePath, Number, Port, Section

_NAME: Final = re.compile(r"[A-Za-z][\w.-]{0,39}", re.ASCII)


def _short_name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise validators.TextError(
            "is no short name", "use up to 40 letters, digits, dots, dashes and underscores, and begin with a letter"
        )
    return value


class QBittorrent(Section):
    """How to reach qBittorrent's Web UI. Without username and api_key, qBittorrent must bypass the login for our
    address."""

    url: Annotated[str, AfterValidator(validators.web_url_or_none_yet)] | None = None
    """Address of the Web UI, `http://` or `https://`, with the path prefix of a proxy. Replaces host and port. Empty:
    QBIT_URL; if that is not set, Qguardarr waits for an address. Default: made of host and port."""
    host: Annotated[str, AfterValidator(validators.host_name)] = "localhost"
    """Host name or address of the Web UI, over plain http. Default localhost."""
    port: Port = 8080
    """Port of the Web UI. Default 8080."""
    username: str | None = None
    """User name of the Web UI. Default: that of QBIT_USERNAME, or none."""
    password: SecretStr | None = None
    """Its password; best as `${QBIT_PASSWORD}` from the environment. Default: that of QBIT_PASSWORD, or none."""
    api_key: SecretStr | None = None
    """API key (qBittorrent 5.2 and newer), instead of username and password. Default: that of QBIT_API_KEY if
    there is no username, or none."""
    auth: Literal["cookie", "basic"] = "cookie"
    """How username and password are sent: `cookie` (log in once; works with all versions) or `basic` (with each
    request; 5.2 and newer, or a proxy in front). Default cookie."""
    timeout: Annotated[Number, Field(gt=0, le=600)] = 30.0
    """Seconds to wait for an answer; a full read of 30,000 torrents takes qBittorrent up to 9 s. Default 30."""
    verify_tls: bool = True
    """Check the certificate of an https `url`. Default true."""
    ca_file: FilePath | None = None
    """Certificates (PEM) to trust for `url`, for a self-signed one. A reload reads it again. Default: the system's."""

    @property
    def base_url(self) -> str:
        """Return the address of the Web UI without a slash at the end; empty if it is not known yet."""
        if self.url or (self.url is not None and not {"host", "port"} & self.model_fields_set):
            return self.url.rstrip("/")
        host = f"[{self.host}]" if ":" in self.host and not self.host.startswith("[") else self.host
        return f"http://{host}:{self.port}"


class NamedQBittorrent(QBittorrent):
    """One of several qBittorrents: an entry where `qbittorrent` is a list. It has all the settings of the mapping, too.
    Variables of the environment stand for the only one, so that its login is written in the entry."""

    name: Annotated[str, AfterValidator(_short_name)]
    """Short name, unique, used in commands, metrics and the journal. No default."""
    formerly: str | None = None
    """Name that it had before, so that its limits are found again; empty if it was the only one, which has none. To be
    removed after the next start. Default none."""


S = TypeVar("S", bound=QBittorrent)


def anchored(server: S, folder: Path) -> S:
    """Return the same with a path that starts at `folder`."""
    if server.ca_file is None:
        return server
    return server.model_copy(update={"ca_file": folder / server.ca_file})
