"""A fake qBittorrent over real HTTP on 127.0.0.1, in three flavours that differ as the real versions do.

The contract suite holds it to the real ones. Tests set torrents and counters through its methods, look at `requests`,
and make it fail with `fail_next`.
"""

from __future__ import annotations

import base64
import contextlib
import enum
import gzip
import json
import secrets
import socket
import ssl
import struct
import threading
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, quote, urlsplit

from lab.processes import keep_port

FLAVOURS = ("4.5.2", "5.1.0", "5.3.0")
_WEBAPI = {"4.5.2": "2.8.19", "5.1.0": "2.11.4", "5.3.0": "2.16.2"}
_MAX_FAILED_LOGINS = 5
_MAX_SESSIONS = 15
_BANNED = "Your IP address has been banned after too many failed authentication attempts."


class Fault(enum.Enum):
    """What goes wrong with one request."""

    HANG = enum.auto()
    """No answer until `release` or the end."""
    LATE = enum.auto()
    """A full answer, but not before `release`."""
    RESET = enum.auto()
    """The connection is reset before an answer; the request was not processed."""
    LOST = enum.auto()
    """The request is processed, and the connection reset instead of the answer."""
    RESET_MID_BODY = enum.auto()
    """The connection is reset after half of the body."""
    TRUNCATED = enum.auto()
    """Half of the JSON, in a well-formed HTTP answer."""
    GARBAGE = enum.auto()
    """200 with a body that is no JSON."""
    SLOW = enum.auto()
    """The body comes byte by byte, each `trickle_s` after the other."""
    STATUS_500 = enum.auto()
    FORBIDDEN = enum.auto()
    REDIRECT = enum.auto()


@dataclass
class FakeTorrent:
    """A torrent; `state` in the names of 5.x (`stoppedUP`), which the 4.5.2 flavour translates."""

    hash: str
    name: str = "a torrent"
    trackers: tuple[str, ...] = ()
    state: str = "stalledUP"
    up_limit: int = 0
    uploaded_session: int = 0
    num_leechs: int = 0
    num_incomplete: int = 0
    progress: float = 1.0
    upspeed: int = 0
    time_active: int = 0
    category: str = ""
    tags: str = ""
    """As qBittorrent writes them: `a, b`."""
    private: bool | None = True
    """Shown from 5.0 on."""
    ratio: float = 0.5
    size: int = 16 * 2**20
    added_on: int = 1_700_000_000
    reannounce: int = 1700
    uploaded_before: int = 0
    """Bytes sent before it was started last."""


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    """Below `/api/v2/`, without the query."""
    query: dict[str, str]
    form: dict[str, str]
    headers: dict[str, str]
    """Names in lower case."""


@dataclass
class Session:
    last_id: int = 0
    sent: dict[str, Any] | None = None
    accepted_id: int = 0
    accepted: dict[str, Any] | None = None


@dataclass
class Reply:
    status: int = 200
    body: bytes = b""
    content_type: str = "text/plain; charset=UTF-8"
    headers: list[tuple[str, str]] = field(default_factory=list)


class FakeQBittorrent:
    """Use as a context manager, or `start` and `stop`. Thread-safe for tests that change it while it serves."""

    def __init__(
        self,
        version: str = "5.1.0",
        *,
        username: str = "admin",
        password: str = "a long secret password",
        api_key: str | None = None,
        bypass_local_auth: bool = False,
        prefix: str = "",
    ) -> None:
        self.version = version
        self.username, self.password, self.api_key = username, password, api_key
        self.bypass_local_auth = bypass_local_auth
        self.prefix = prefix
        self.torrents: dict[str, FakeTorrent] = {}
        self.global_up_limit = 0
        self.alt_up_limit = 10240
        self.use_alt_limits = False
        self.refresh_interval_ms = 1500
        self.preferences: dict[str, Any] = {
            "autorun_enabled": False,
            "autorun_on_torrent_added_enabled": False,
            "autorun_on_torrent_added_program": "",
            "autorun_program": "",
            "proxy_password": "not yours",
        }
        """Besides `refresh_interval_ms`."""
        self.use_gzip = True
        self.tls: ssl.SSLContext | None = None
        """Set before `start` to serve https."""
        self.trickle_s = 0.2
        self.idle_s = 7.0
        """Idle connections are closed after that."""
        self.requests: list[Request] = []
        self.sessions_made = 0
        self.failed_logins = 0
        self.connections = 0
        self.mark: str | None = secrets.token_hex(4)
        """On the login page, new at each start; None for a web interface that has none."""
        self.lock = threading.RLock()
        self.arrived = threading.Condition(self.lock)
        self.released = threading.Event()
        """While it is set, nothing hangs."""
        self.faults: deque[tuple[str, Fault | None]] = deque()
        """What `fail_next` has set and no request has met yet."""
        self.sessions: dict[str, Session] = {}
        """By the id in the cookie."""
        self._key_session = Session()
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self.port = keep_port(self)

    # What tests do with it

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.prefix}"

    @property
    def serving(self) -> bool:
        return self._server is not None

    def start(self) -> None:
        """Serve, on the port of last time if there was one."""
        fake = self

        class Handler(_Handler):
            server_side = fake
            timeout = fake.idle_s

        self.released.clear()
        self._server = _Server(("127.0.0.1", self.port), Handler)
        self._server.tls = self.tls
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop serving and cut all connections."""
        if self._server is None or self._thread is None:
            return
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.close_all()
        self._server.server_close()
        self._server = None

    def restart(self) -> None:
        """As a restart of qBittorrent: sessions and bans are gone, session counters are 0, limits stay."""
        self.stop()
        with self.lock:
            self.sessions.clear()
            self._key_session = Session()
            self.failed_logins = 0
            if self.mark is not None:
                self.mark = secrets.token_hex(4)
            for torrent in self.torrents.values():
                torrent.uploaded_before += torrent.uploaded_session
                torrent.uploaded_session = 0
        self.start()

    def add(self, *torrents: FakeTorrent) -> None:
        with self.lock:
            self.torrents.update({torrent.hash: torrent for torrent in torrents})

    def remove(self, *hashes: str) -> None:
        with self.lock:
            for torrent_hash in hashes:
                del self.torrents[torrent_hash]

    def expire_sessions(self) -> None:
        with self.lock:
            self.sessions.clear()

    def fail_next(self, path: str, *faults: Fault | None) -> None:
        """The next requests whose path contains `path` fail so, one after the other; None is one that works."""
        with self.lock:
            self.faults.extend((path, fault) for fault in faults)

    def release(self) -> None:
        """End all that hangs."""
        self.released.set()

    def count(self, path: str) -> int:
        """How many requests for `path` came."""
        with self.lock:
            return sum(path in request.path for request in self.requests)

    def wait_for_request(self, path: str, count: int = 1, timeout_s: float = 5.0) -> None:
        """Wait until at least `count` requests for `path` have come."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: self.count(path) >= count, timeout_s), f"no request for {path}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # How it answers

    @property
    def _numbers(self) -> tuple[int, ...]:
        return tuple(int(part) for part in self.version.split("."))

    def reply(self, request: Request) -> Reply:
        """The answer of a qBittorrent in good health."""
        headers = request.headers
        if request.method == "GET" and request.path == f"{self.prefix}/":
            link = "" if self.mark is None else f'<link rel="stylesheet" href="css/login.css?v={self.mark}">'
            return Reply(body=f"<!DOCTYPE html><html>{link}</html>".encode(), content_type="text/html")
        if request.path.startswith("/"):  # not below our prefix
            return Reply(404, b"Not Found")
        port = headers.get("host", "").rpartition(":")[2]
        foreign = any(urlsplit(headers[n]).netloc != headers["host"] for n in ("origin", "referer") if n in headers)
        if (port.isdigit() and int(port) != self.port) or foreign:
            return Reply(401, b"Unauthorized")
        if request.path == "auth/login":
            return self._login(request)
        failures = self.failed_logins
        session, extra = self._session_of(request)
        if session is None:
            return Reply(401, b"Unauthorized") if self.failed_logins > failures else Reply(403, b"Forbidden")
        reply = self._routed(request, session)
        reply.headers += extra
        return reply

    def _login(self, request: Request) -> Reply:
        if request.method != "POST":
            return Reply(405, b"Method Not Allowed")
        newer = self._numbers >= (5, 2)
        success = Reply(204) if newer else Reply(200, b"Ok.")
        right = (request.form.get("username"), request.form.get("password")) == (self.username, self.password)
        if self.bypass_local_auth or (right and not self._banned):
            self.failed_logins = 0
            success.headers.append(self._new_session()[1])
            return success
        if self._banned:
            return Reply(403, _BANNED.encode())
        self.failed_logins += 1
        return Reply(401, b"Unauthorized") if newer else Reply(200, b"Fails.")

    @property
    def _rate_limit(self) -> int:
        return self.alt_up_limit if self.use_alt_limits else self.global_up_limit

    @property
    def _banned(self) -> bool:
        return self.failed_logins >= _MAX_FAILED_LOGINS

    def ban(self) -> None:
        """As after too many failed logins."""
        self.failed_logins = _MAX_FAILED_LOGINS

    def _new_session(self) -> tuple[Session, tuple[str, str]]:
        sid, session = secrets.token_hex(16), Session()
        self.sessions_made += 1
        self.sessions[sid] = session
        if self._numbers >= (5, 3) and len(self.sessions) > _MAX_SESSIONS:
            del self.sessions[next(iter(self.sessions))]
        name = f"QBT_SID_{self.port}" if self._numbers >= (5, 2) else "SID"
        return session, ("Set-Cookie", f"{name}={sid}; HttpOnly; SameSite=Strict; path=/")

    def _session_of(self, request: Request) -> tuple[Session | None, list[tuple[str, str]]]:
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        if scheme == "Bearer" and self._numbers >= (5, 2):
            right = self.api_key is not None and credentials == self.api_key
            return (self._key_session if right else None), []
        for pair in request.headers.get("cookie", "").split("; "):
            sid = pair.partition("=")[2]
            if sid in self.sessions:
                session = self.sessions.pop(sid)
                self.sessions[sid] = session  # most recently used last
                return session, []
        basic = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        by_basic = scheme == "Basic" and self._numbers >= (5, 2) and not self._banned
        if by_basic and credentials != basic:
            self.failed_logins += 1
            return None, []
        if by_basic or self.bypass_local_auth:
            session, cookie = self._new_session()
            return session, [cookie]
        return None, []

    def _routed(self, request: Request, session: Session) -> Reply:
        parameters = {**request.query, **request.form}
        match request.path:
            case "app/version":
                return Reply(body=f"v{self.version}".encode())
            case "app/webapiVersion":
                return Reply(body=_WEBAPI[self.version].encode())
            case "app/preferences":
                return _json({**self.preferences, "refresh_interval": self.refresh_interval_ms})
            case "app/setPreferences":
                return self._set_preferences(request)
            case "transfer/info":
                return _json({"up_info_data": 0, "up_rate_limit": self._rate_limit, "dl_rate_limit": 0})
            case "sync/maindata":
                return _json(self.maindata(session, int(parameters.get("rid", "0"))))
            case "torrents/info":
                return _json(self.info(parameters))
            case "torrents/setUploadLimit":
                return self._set_upload_limit(request)
        return Reply(404, b"Not Found")

    def _set_preferences(self, request: Request) -> Reply:
        if request.method != "POST":
            return Reply(405, b"Method Not Allowed")
        if "json" not in request.form:
            return Reply(400, b"Missing required parameters")
        for name, value in json.loads(request.form["json"]).items():
            if name in self.preferences:
                self.preferences[name] = value.strip() if name.endswith("_program") and self._numbers >= (5,) else value
        return Reply(204 if self._numbers >= (5, 2) else 200)

    def _set_upload_limit(self, request: Request) -> Reply:
        if request.method != "POST":
            return Reply(405, b"Method Not Allowed")
        if "hashes" not in request.form or "limit" not in request.form:
            return Reply(400, b"Missing required parameters")
        for torrent_hash in request.form["hashes"].split("|"):
            torrent = self.torrents.get(torrent_hash.lower())
            if torrent is not None:
                torrent.up_limit = _clean_limit(request.form["limit"])
        return Reply(204 if self._numbers >= (5, 2) else 200)

    def info(self, parameters: dict[str, str]) -> list[dict[str, Any]]:
        torrents = list(self.torrents.values())
        if parameters.get("filter") == "active":
            torrents = [torrent for torrent in torrents if self._is_active(torrent)]
        if "hashes" in parameters:
            wanted = {torrent_hash.lower() for torrent_hash in parameters["hashes"].split("|")}
            torrents = [torrent for torrent in torrents if torrent.hash in wanted]
        return [{"hash": torrent.hash, **self.fields_of(torrent)} for torrent in torrents]

    def _is_active(self, torrent: FakeTorrent) -> bool:
        if self._numbers >= (5, 2):
            return torrent.upspeed > 0
        always = {"uploading", "downloading", "forcedUP", "forcedDL", "metaDL", "moving"}
        return torrent.state in always or (torrent.state == "stalledDL" and torrent.upspeed > 0)

    def fields_of(self, torrent: FakeTorrent) -> dict[str, Any]:
        old = self._numbers < (5,)
        magnet = f"magnet:?xt=urn:btih:{torrent.hash}&dn={quote(torrent.name, safe='')}"
        return {
            "added_on": torrent.added_on,
            "amount_left": 0,
            "category": torrent.category,
            "dl_limit": 0,
            "dlspeed": 0,
            "infohash_v1": torrent.hash,
            "magnet_uri": magnet + "".join(f"&tr={quote(url, safe='')}" for url in torrent.trackers),
            "name": torrent.name,
            "num_complete": 3,
            "num_incomplete": torrent.num_incomplete,
            "num_leechs": torrent.num_leechs,
            "num_seeds": 0,
            **({} if old else {"private": torrent.private}),
            **({"reannounce": torrent.reannounce} if self._numbers >= (5, 1) else {}),
            "progress": torrent.progress,
            "ratio": torrent.ratio,
            "save_path": "/downloads",
            "seeding_time": 5,
            "size": torrent.size,
            "state": torrent.state.replace("stopped", "paused") if old else torrent.state,
            "tags": torrent.tags,
            "time_active": torrent.time_active,
            "tracker": "" if old or not torrent.trackers else torrent.trackers[0],
            "trackers_count": len(torrent.trackers),
            "up_limit": torrent.up_limit,
            "uploaded": torrent.uploaded_before + torrent.uploaded_session,
            "uploaded_session": torrent.uploaded_session,
            "upspeed": torrent.upspeed,
        }

    def maindata(self, session: Session, rid: int) -> dict[str, Any]:
        now = self._snapshot()
        if rid and rid == session.last_id:
            session.accepted_id, session.accepted = rid, session.sent
            base = session.accepted
        elif rid and rid == session.accepted_id and session.accepted is not None:
            # 4.6 … 5.2.3 forget what was in the answer that was lost.
            base = session.sent if (4, 6) <= self._numbers < (5, 2, 4) else session.accepted
        else:
            session.accepted_id, session.accepted = 0, None
            base = None
        session.last_id = 1 if base is None and self._numbers < (4, 6) else session.last_id + 1
        session.sent = now
        return {"rid": session.last_id, **(_full(now) if base is None else _difference(base, now))}

    def _snapshot(self) -> dict[str, Any]:
        trackers: dict[str, list[str]] = {}
        for torrent in self.torrents.values():
            for url in torrent.trackers:
                trackers.setdefault(url, []).append(torrent.hash)
        state = {
            "alltime_ul": 5,
            "refresh_interval": self.refresh_interval_ms,
            "up_rate_limit": self._rate_limit,
            "use_alt_speed_limits": self.use_alt_limits,
        }
        torrents = {torrent.hash: self.fields_of(torrent) for torrent in self.torrents.values()}
        return {"server_state": state, "torrents": torrents, "trackers": trackers}


def _full(now: dict[str, Any]) -> dict[str, Any]:
    return {"full_update": True, **{key: section for key, section in now.items() if section}}


def _difference(base: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {}
    for key in ("server_state", "torrents", "trackers"):
        changed: dict[str, Any] = {}
        for name, value in now[key].items():
            before = base[key].get(name)
            if key == "torrents" and before is not None:
                fields = {field: content for field, content in value.items() if before[field] != content}
                if fields:
                    changed[name] = fields
            elif before != value:
                changed[name] = value
        if changed:
            answer[key] = changed
        gone = [name for name in base[key] if name not in now[key]]
        if gone:
            answer[f"{key}_removed"] = gone
    return answer


def _clean_limit(text: str) -> int:
    """What qBittorrent makes of a limit: int32 with wrapping, and unlimited for all that is odd."""
    try:
        number = int(text)
    except ValueError:
        return 0
    wrapped = (number + 2**31) % 2**32 - 2**31
    return wrapped if 0 < wrapped < 2**31 - 1 else 0


def _json(value: object) -> Reply:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))  # Qt sorts the keys, and writes no spaces
    return Reply(body=text.encode(), content_type="application/json")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.open_sockets: set[socket.socket] = set()
        self.tls: ssl.SSLContext | None = None

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the connection's own thread, as the TLS handshake blocks."""
        if self.tls is not None:
            request = self.tls.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)
        if self.tls is not None:
            request.close()

    def close_all(self) -> None:
        for open_socket in list(self.open_sockets):
            with contextlib.suppress(OSError):
                open_socket.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Broken connections are what the tests ask for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    server_side: FakeQBittorrent
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.open_sockets.add(self.connection)
        with self.server_side.lock:
            self.server_side.connections += 1

    def finish(self) -> None:
        self.server.open_sockets.discard(self.connection)
        super().finish()

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """No noise."""

    def _serve(self) -> None:
        fake = self.server_side
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        parts = urlsplit(self.path)
        request = Request(
            self.command,
            parts.path.removeprefix(f"{fake.prefix}/api/v2/"),
            dict(parse_qsl(parts.query, keep_blank_values=True)),
            dict(parse_qsl(body.decode(), keep_blank_values=True)),
            {name.lower(): value for name, value in self.headers.items()},
        )
        with fake.arrived:
            fake.requests.append(request)
            fake.arrived.notify_all()
            fault = None
            if fake.faults and fake.faults[0][0] in request.path:
                fault = fake.faults.popleft()[1]
            reply = Reply() if fault in _UNPROCESSED else fake.reply(request)
        match fault:
            case Fault.HANG:
                fake.released.wait()
                self.close_connection = True
            case Fault.LATE:
                fake.released.wait()
                self._send(reply)
            case Fault.RESET | Fault.LOST:
                self._reset()
            case Fault.STATUS_500:
                self._send(Reply(500, b"Internal Server Error"))
            case Fault.FORBIDDEN:
                self._send(Reply(403, b"Forbidden"))
            case Fault.REDIRECT:
                self._send(Reply(302, headers=[("Location", "https://elsewhere.example/login?next=/")]))
            case Fault.GARBAGE:
                self._send(Reply(body=b"<html>It works!</html>"))
            case Fault.TRUNCATED:
                reply.body = reply.body[: len(reply.body) // 2]
                self._send(reply)
            case _:
                self._send(reply, fault)

    def _send(self, reply: Reply, fault: Fault | None = None) -> None:
        accepted = "gzip" in self.headers.get("Accept-Encoding", "")
        if accepted and self.server_side.use_gzip and len(reply.body) > 1024:
            reply.body = gzip.compress(reply.body, 1)
            reply.headers.append(("Content-Encoding", "gzip"))
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        if reply.status != 204:
            self.send_header("Content-Length", str(len(reply.body)))
        for name, value in reply.headers:
            self.send_header(name, value)
        self.end_headers()
        if fault is Fault.SLOW:
            for index in range(len(reply.body)):
                if self.server_side.released.wait(self.server_side.trickle_s):
                    break
                self.wfile.write(reply.body[index : index + 1])
                self.wfile.flush()
            self.close_connection = True
        elif fault is Fault.RESET_MID_BODY:
            self.wfile.write(reply.body[: len(reply.body) // 2])
            self.wfile.flush()
            self._reset()
        else:
            self.wfile.write(reply.body)

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()


_UNPROCESSED = {Fault.HANG, Fault.RESET, Fault.STATUS_500, Fault.FORBIDDEN, Fault.REDIRECT, Fault.GARBAGE}
