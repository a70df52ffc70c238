"""The webhook of a running daemon: in which forms it takes events, what it refuses, and what events bring about."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qguardarr.api.middleware import MAX_BODY_BYTES
from qguardarr.engine.triggers import Hints, Triggers
from tests.support import fake_crossseed
from tests.support.api_client import (
    ANNOUNCE,
    CAP,
    HASHES,
    JSON,
    KEY,
    PASSKEY,
    Answer,
    ServedApi,
    fake_with_torrents,
    served,
)
from tests.support.daemon_process import until
from tests.support.fake_crossseed import FakeCrossSeed
from tests.support.fake_qbittorrent import FLAVOURS, FakeTorrent, Fault

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=xyz"
NEW = "ab" * 20
SLOW = {"global": {"update_interval": 30}}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApi]:
    with served(tmp_path_factory.mktemp("webhook")) as api:
        yield api


def send(api: ServedApi, body: bytes, kind: str | None, query: str = "", **rest: Any) -> Answer:
    headers = {} if kind is None else {"Content-Type": kind}
    return api.client.post(f"/webhook{query}", body=body, headers=headers, **rest)


def counts(api: ServedApi) -> Any:
    return api.client.get("/api/v1/status").json()["webhook"]


def multipart(**fields: str) -> bytes:
    parts = (f'--xyz\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n' for n, v in fields.items())
    return ("".join(parts) + "--xyz--\r\n").encode()


TAKEN: dict[str, tuple[bytes, str | None, str]] = {
    "a form": (f"event=add&hash={NEW}".encode(), FORM, ""),
    "all fields of the earlier one": (
        f"event=add&hash={NEW}&name=a+b%26&tracker=http%3A%2F%2Fx&category=&tags=a%2Cb&save_path=%2Fdata".encode(),
        FORM,
        "",
    ),
    "a form with a charset": (f"event=add&hash={NEW}".encode(), FORM + "; charset=UTF-8", ""),
    "a form without a type": (f"event=add&hash={NEW}".encode(), None, ""),
    "multipart": (multipart(event="add", hash=NEW, name="ü"), MULTIPART, ""),
    "JSON": (json.dumps({"event": "add", "hash": NEW, "more": [1]}).encode(), JSON, ""),
    "JSON that is called a form": (json.dumps({"event": "add", "hash": NEW}).encode(), FORM, ""),
    "a query": (b"", None, f"?event=add&hash={NEW}"),
    "half a query, half a form": (b"event=add", FORM, f"?hash={NEW}"),
    "the body counts more": (f"event=add&hash={NEW}".encode(), FORM, "?event=nonsense&hash=nonsense"),
    "other spellings": (f"event=+Added&hash={NEW.upper()}+".encode(), FORM, ""),
    "a v2 hash": (f"event=completed&hash={NEW}{'0' * 24}".encode(), FORM, ""),
    "names that are no UTF-8": (b"event=delete&name=%ff%fe\xff\xfe\x00&hash=" + NEW.encode(), FORM, ""),
    "names that are no UTF-8, in multipart": (
        multipart(event="deleted", hash=NEW).replace(b"--xyz--", b"")
        + b'--xyz\r\nContent-Disposition: form-data; name="name"\r\n\r\n\xff\xfe\x00\r\n--xyz--\r\n',
        MULTIPART,
        "",
    ),
}


@pytest.mark.parametrize("what", TAKEN)
def test_an_event_is_taken_in_every_form(api: ServedApi, what: str) -> None:
    before = counts(api)
    body, kind, query = TAKEN[what]
    answer = send(api, body, kind, query)
    assert answer.status == 202, answer.body
    found = answer.json()
    assert found["status"] == "queued"
    assert 0 <= found["processing_time_ms"] < 1000
    after = counts(api)
    assert (after["received"], after["rejected"]) == (before["received"] + 1, before["rejected"])


def test_a_key_in_the_query_will_do(api: ServedApi) -> None:
    body = f"event=add&hash={NEW}".encode()
    assert send(api, body, FORM, f"?apikey={KEY}", key=None).status == 202
    assert send(api, b"", None, f"?hash={NEW}&apikey={KEY}&event=add", key=None).status == 202
    send(api, body + f"&apikey={KEY}".encode(), FORM, key=None).problem(401)


REFUSED: dict[str, tuple[bytes, str | None]] = {
    "nothing": (b"", None),
    "no event": (f"hash={NEW}".encode(), FORM),
    "another event": (f"event=paused&hash={NEW}".encode(), FORM),
    "no hash": (b"event=add", FORM),
    "a short hash": (b"event=add&hash=" + b"a" * 39, FORM),
    "a hash of 50": (b"event=add&hash=" + b"a" * 50, FORM),
    "other digits": (b"event=add&hash=" + b"g" * 40, FORM),
    "digits of another script": (("event=add&hash=" + "\uff11" * 40).encode(), FORM),
    "what was not filled in": (b"event=add&hash=%K", FORM),
    "a hyphen, as %I has it": (b"event=add&hash=-", FORM),
    "noise": (bytes(range(256)), FORM),
    "JSON that is none": (b"{", JSON),
    "JSON of another kind": (b"[]", JSON),
    "JSON with other types": (json.dumps({"event": 1, "hash": NEW}).encode(), JSON),
    "JSON that is no UTF-8": (b'{"event": "\xff"}', JSON),
    "JSON without end": (b"[" * 60_000, JSON),
    "half a character": (b'{"event": "add", "hash": "\\ud800"}', JSON),
    "multipart without a boundary": (multipart(event="add", hash=NEW), "multipart/form-data"),
    "multipart cut short": (multipart(event="add", hash=NEW)[:60], MULTIPART),
    "multipart that is none": (b"event=add", MULTIPART),
    "a file": (
        b'--xyz\r\nContent-Disposition: form-data; name="event"; filename="x"\r\n\r\nadd\r\n--xyz--\r\n',
        MULTIPART,
    ),
    "many fields": (b"&".join(b"a%d=1" % n for n in range(60)) + f"&event=add&hash={NEW}".encode(), FORM),
    "many parts": (multipart(**{f"a{n}": "1" for n in range(60)}, event="add", hash=NEW), MULTIPART),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_request_without_an_event_is_refused_and_counted(api: ServedApi, what: str) -> None:
    before = counts(api)
    send(api, *REFUSED[what]).problem(400, "invalid-request")
    after = counts(api)
    assert (after["received"], after["rejected"]) == (before["received"], before["rejected"] + 1)


def test_a_body_is_bounded(api: ServedApi) -> None:
    largest = f"event=add&hash={NEW}&name=".encode()
    largest += b"x" * (MAX_BODY_BYTES - len(largest))
    assert send(api, largest, FORM).status == 202
    send(api, largest + b"x", FORM).problem(413, "too-large")
    head = f"POST /webhook HTTP/1.1\r\nHost: x\r\nX-Api-Key: {KEY}\r\nContent-Type: {FORM}\r\n"
    chunked = f"{head}Transfer-Encoding: chunked\r\n\r\n".encode()
    answer = api.client.raw(chunked + (b"4000\r\n" + b"x" * 0x4000 + b"\r\n") * 5)
    assert answer.startswith(b"HTTP/1.1 413 ")
    announced = api.client.raw(f"{head}Content-Length: 99999999999999999999\r\n\r\n".encode())
    assert announced.startswith((b"HTTP/1.1 413 ", b"HTTP/1.1 400 "))


def test_events_coalesce_by_torrent_until_the_next_cycle(tmp_path: Path) -> None:
    with served(tmp_path) as api:
        before = counts(api)
        reads = api.fake.count("maindata")
        api.fake.fail_next("maindata", Fault.HANG)
        api.fake.wait_for_request("maindata", reads + 1)  # the engine waits, and takes nothing out of the queue
        sizes = [
            api.client.hook(event, torrent).json()["queue_size"]
            for event, torrent in (("add", NEW), ("complete", NEW), ("add", HASHES[0]), ("delete", NEW.upper()))
        ]
        assert sizes == [1, 1, 2, 2]
        now = counts(api)
        assert (now["received"] - before["received"], now["coalesced"] - before["coalesced"]) == (4, 2)
        assert (now["queued"], now["dropped"]) == (2, 0)
        api.fake.release()
        until(lambda: counts(api)["queued"] == 0, "the queue to be emptied")


@pytest.mark.parametrize("version", FLAVOURS)
def test_added_torrents_are_limited_and_deleted_ones_forgotten_at_once(tmp_path: Path, version: str) -> None:
    """Long before the next cycle is due."""
    with served(tmp_path, version, **SLOW) as api:
        api.wait_until_parked()
        first = api.cycle
        api.fake.add(FakeTorrent(NEW, "just added", (ANNOUNCE + PASSKEY,)))
        assert api.client.hook("add", NEW).status == 202
        until(lambda: 0 < api.limits[NEW] < CAP, "a limit on the new torrent")
        api.fake.remove(NEW)
        assert api.client.hook("delete", NEW).status == 202
        until(lambda: api.client.get(f"/api/v1/torrents/{NEW}").status == 404, "the torrent to be forgotten")
        assert api.client.get("/api/v1/torrents").json()["total"] == len(HASHES)
        assert api.cycle - first <= 4


def test_where_idle_torrents_are_seldom_read_the_added_one_is_asked_for_by_name(tmp_path: Path) -> None:
    """qBittorrent before 4.6, and a complete list that takes long: a cycle alone would not find it for a minute."""
    with fake_with_torrents("4.5.2") as fake:
        fake.fail_next("torrents/info", Fault.LATE)
        api = ServedApi(tmp_path, fake)
        api.start(None)
        try:
            fake.wait_for_request("torrents/info", timeout_s=20.0)
            time.sleep(0.6)
            fake.release()
            api.wait_until_parked()
            fake.add(FakeTorrent(NEW, "just added", (ANNOUNCE + PASSKEY,)))
            assert api.client.hook("complete", HASHES[0]).status == 202
            api.next_cycle()
            assert api.limits[NEW] == 0, "nobody told of it"
            assert api.client.hook("add", NEW).status == 202
            until(lambda: 0 < api.limits[NEW] < CAP, "a limit on the new torrent")
            fake.remove(NEW)
            api.next_cycle()
            assert api.client.get(f"/api/v1/torrents/{NEW}").status == 200, "nobody told that it is gone"
            assert api.client.hook("delete", NEW).status == 202
            until(lambda: api.client.get(f"/api/v1/torrents/{NEW}").status == 404, "the torrent to be forgotten")
        finally:
            api.daemon.kill()


def test_a_completed_torrent_is_told_to_cross_seed(tmp_path: Path) -> None:
    with FakeCrossSeed() as cross_seed:
        section = {"enabled": True, "url": cross_seed.url, "api_key": fake_crossseed.KEY}
        with served(tmp_path, cross_seed=section) as api:
            assert api.client.hook("add", HASHES[0]).status == 202
            assert api.client.hook("complete", HASHES[1].upper()).status == 202
            cross_seed.wait_for_searches(1)
            assert cross_seed.searches == [HASHES[1]]
            until(lambda: api.client.get("/api/v1/status").json()["cross_seed"]["forwarded"] == 1, "that to be counted")


def test_a_full_queue_drops_hints_and_asks_for_everything() -> None:
    woken: list[None] = []
    triggers = Triggers(lambda: woken.append(None), capacity=2, wall_clock=lambda: 1e9)
    assert triggers.put("add", "a")
    assert triggers.put("add", "b")
    assert not triggers.put("add", "c")
    assert triggers.put("delete", "a"), "what is known takes no room"
    found = triggers.counts()
    assert (found.received, found.coalesced, found.dropped, found.queued, found.last_at) == (4, 1, 1, 2, 1e9)
    assert triggers.take() == Hints(frozenset({"a", "b"}), overflow=True)
    assert triggers.take() == Hints(frozenset(), overflow=False)
    assert len(woken) == 1, "what comes while the engine has been woken already comes along"
    assert triggers.put("add", "a")
    assert len(woken) == 2
