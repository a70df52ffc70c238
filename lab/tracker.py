"""HTTP trackers on loopback addresses, in a process of their own.

They answer every announce with plausible numbers and no peers: the lab's peers find qBittorrent by themselves. Real
clients are told where the seed is, and of no other peer, so that they do not feed each other. They keep what each
announce told of (`lab.site` computes with that).
The paths start with `/announce`, or libtorrent refuses them on loopback (its SSRF mitigation).
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self
from urllib.parse import parse_qsl, unquote_to_bytes

from lab.processes import Channel, Helper, allow_many_files, answer, free_port, given_channel
from lab.site import Announce
from lab.torrents import bencode

_INTERVAL_S: Final = 1800
_COMPLETE: Final = re.compile(rb"[?&]left=0[& ]")
_INFO_HASH: Final = re.compile(rb"[?&]info_hash=([^& ]+)")


@dataclass(frozen=True)
class Tracker:
    """Where one tracker listens."""

    name: str
    host: str
    """Its own loopback address, such as 127.0.0.11."""
    port: int
    passkey: str

    @property
    def announce_url(self) -> str:
        return f"http://{self.host}:{self.port}/announce/{self.passkey}"

    @property
    def pattern(self) -> str:
        """A regular expression that its announce URLs match, and no others."""
        return re.escape(f"//{self.host}:")


class Trackers:
    """Running trackers, by name. A context manager."""

    def __init__(self, names: Sequence[str], subnet: str = "127.0.0") -> None:
        """`subnet`: the first three numbers of their addresses."""
        self.by_name = {name: _place(name, f"{subnet}.{11 + number}") for number, name in enumerate(names)}
        self._helper = Helper("lab.tracker")
        try:
            self._helper.ask("listen", [(tracker.host, tracker.port) for tracker in self.by_name.values()])
        except BaseException:
            self._helper.close()
            raise

    def __getitem__(self, name: str) -> Tracker:
        return self.by_name[name]

    def set_leechers(self, leechers: Mapping[str, int]) -> None:
        """Leechers that the trackers report, by info hash (0 until set)."""
        self._helper.ask("set_leechers", dict(leechers))

    def set_seed(self, host: str, port: int, *, to: str | None = None) -> None:
        """Tell leechers from now on that this is the one peer there is; `to`: only the one at that address."""
        self._helper.ask("set_seed", host, port, to)

    def announces(self) -> int:
        """Announces answered so far."""
        return len(self.told())

    def told(self) -> list[Announce]:
        """What all announces so far told of, in the order in which they came."""
        return [Announce(*values) for values in self._helper.ask("told")]

    def set_interval(self, seconds: int) -> None:
        """Tell everybody from now on to announce this often (1800 until set)."""
        self._helper.ask("set_interval", seconds)

    def close(self) -> None:
        self._helper.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _place(name: str, host: str) -> Tracker:
    passkey = hashlib.sha256(name.encode()).hexdigest()[:32]
    return Tracker(name=name, host=host, port=free_port(host), passkey=passkey)


class _Server:
    """The process's side: listeners, and the commands of `Trackers`."""

    def __init__(self) -> None:
        self._leechers: dict[str, int] = {}
        self._interval_s = _INTERVAL_S
        self._told: list[tuple[float, str, str, int, str]] = []
        """The fields of `Announce`."""
        self._seeds: dict[str | None, bytes] = {None: b""}
        """Address and port of the seed as in an answer, by address of the leecher (None: all others)."""
        self._listening: list[asyncio.Task[asyncio.Server]] = []

    def listen(self, places: list[tuple[str, int]]) -> None:
        for place in places:
            listener = socket.create_server(place, backlog=1000)
            starting = asyncio.start_server(self._serve, sock=listener)
            self._listening.append(asyncio.get_running_loop().create_task(starting))

    def set_leechers(self, leechers: dict[str, int]) -> None:
        self._leechers.update({info_hash.lower(): count for info_hash, count in leechers.items()})

    def set_seed(self, host: str, port: int, to: str | None) -> None:
        self._seeds[to] = socket.inet_aton(host) + port.to_bytes(2, "big")

    def told(self) -> list[tuple[float, str, str, int, str]]:
        return self._told

    def set_interval(self, seconds: int) -> None:
        self._interval_s = seconds

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
            body = self._answer_to(head.partition(b"\r\n")[0], str(writer.get_extra_info("peername")[0]))
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"
                % (len(body), body)
            )
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            pass  # a client that goes away or talks nonsense gets nothing
        finally:
            writer.close()

    def _answer_to(self, request_line: bytes, host: str) -> bytes:
        found = _INFO_HASH.search(request_line)
        if found is None:
            return bencode({"failure reason": "no info_hash"})
        info_hash = unquote_to_bytes(found.group(1)).hex()
        said = dict(parse_qsl(request_line.split(b" ")[1].partition(b"?")[2].decode("latin-1"), encoding="latin-1"))
        peer = f"{host}:{said.get('port', '')}:{said.get('peer_id', '')}"
        self._told.append((time.time(), info_hash, peer, int(said.get("uploaded", 0)), said.get("event", "")))
        leechers = self._leechers.get(info_hash, 0)
        peers = b"" if _COMPLETE.search(request_line) else self._seeds.get(host, self._seeds[None])
        return bencode({"interval": self._interval_s, "complete": 1, "incomplete": leechers, "peers": peers})


async def _run(channel: Channel) -> None:
    server, gone = _Server(), asyncio.Event()

    def on_command() -> None:
        if not answer(channel, server):
            gone.set()

    asyncio.get_running_loop().add_reader(channel.fileno(), on_command)
    await gone.wait()


if __name__ == "__main__":
    allow_many_files()
    asyncio.run(_run(given_channel()))
