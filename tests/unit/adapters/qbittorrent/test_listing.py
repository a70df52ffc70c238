"""Torrents for people, read in pieces: the connection is free between them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest

from qguardarr.adapters.qbittorrent import QBittorrentClient
from qguardarr.adapters.qbittorrent.listing import LONGEST_S, PIECE, in_pieces
from qguardarr.engine.ports import ListedTorrent
from qguardarr.engine.settings import QBittorrentSettings
from qguardarr.errors import Unreachable
from tests.support.fake_qbittorrent import FakeQBittorrent, FakeTorrent


def test_connection_is_free_while_torrents_are_looked_at() -> None:
    with FakeQBittorrent() as fake:
        hashes = [f"{number:040x}" for number in range(PIECE + 7)]
        fake.add(*(FakeTorrent(hash_, "n", (f"http://t{hash_[-1]}.example/",)) for hash_ in hashes))
        client = QBittorrentClient(
            QBittorrentSettings(url=fake.url, username=fake.username, password=fake.password), lambda: None
        )
        listed = client.listed([*hashes, "f" * 40])
        first = next(listed)
        limits = client.upload_limits([first.hash])  # if a list held the connection, this would never end
        found = {torrent.hash: torrent.urls for torrent in [first, *listed]}
        client.close()

    assert limits.keys() == {first.hash}
    assert sorted(found) == hashes
    assert found[hashes[4]] == ("http://t4.example/",)


def test_pieces_are_small() -> None:
    sizes: list[int] = []

    def read(piece: Sequence[str]) -> list[ListedTorrent]:
        sizes.append(len(piece))
        return []

    assert list(in_pieces((f"{n:040x}" for n in range(2 * PIECE + 1)), read)) == []
    assert sizes == [PIECE, PIECE, 1]


def test_list_that_takes_too_long_ends() -> None:
    ticks = itertools.count(step=LONGEST_S / 3)

    with pytest.raises(Unreachable, match="takes too long"):
        list(in_pieces((f"{n:040x}" for n in range(9 * PIECE)), lambda _: [], lambda: next(ticks)))
