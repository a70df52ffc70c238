"""qBittorrent's Web API as a `TorrentClient`.

Promises: one connection; one session, reused; every answer either taken in whole or not at all; no secret and no
announce URL in any error or log line; only errors of `qguardarr.errors.ClientError`.

    transport   the connection                  stream  JSON of many megabytes, entry by entry
    session     logging in, versions            wire    the fields we read, and what they mean
    login_gate  when a refused login is tried   store   what is known of every torrent
    statuses    what a refusal means            breaker leaving qBittorrent alone after failures
"""

from qguardarr.adapters.qbittorrent.client import QBittorrentClient
from qguardarr.adapters.qbittorrent.session import ClientStats
from qguardarr.adapters.qbittorrent.settings import QBittorrentSettings

__all__ = ["ClientStats", "QBittorrentClient", "QBittorrentSettings"]
