"""qBittorrent's Web API as a `TorrentClient`.

Promises: one connection; one session, reused; an answer is taken in whole or not at all; no secret and no announce URL
in any error or log line; only errors of `qguardarr.errors.ClientError`.

    transport  the connection, its failures and refusals    stream           JSON of many megabytes, entry by entry
    session    login, version, authenticated requests       wire             the fields that are read, and their meaning
    logins     when a refused login may be tried again      merge            an answer, merged with what was known
    breaker    a pause after several failures in a row      packed_torrents  a complete list as rows of bytes
    listing    torrents for people, in small pieces
"""

from qguardarr.adapters.qbittorrent.client import QBittorrentClient
from qguardarr.adapters.qbittorrent.session import ClientStats

__all__ = ["ClientStats", "QBittorrentClient"]
