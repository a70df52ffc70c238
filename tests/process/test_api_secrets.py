"""No secret is in any answer, any header or the log, whatever is asked and whatever goes wrong."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from qguardarr.adapters.statusfile import status_path
from tests.support.api_client import HASHES, JSON, Answer, ServedApi, fake_with_torrents
from tests.support.api_operations import OPERATIONS
from tests.support.daemon_process import until
from tests.support.fake_qbittorrent import FakeTorrent, Fault

PASSKEYS = ("c0ffee00c0ffee11c0ffee22c0ffee33", "PassKey+In/The=Query9")
SECRETS = {
    "the API key": "Api-Key.Of/The+Tests=0123456789",
    "the password of qBittorrent": 'Qbit "pässwörd" {42}',
    "the person's password": "the person's own $ecret",
    "the key of cross-seed": "cross-seed-key-4711-4711",
    "the key in that address": "url-key-0815-0815-0815",
    "the token of a notification": "123456789:AAnotification-token-x",
    "a passkey in a path": PASSKEYS[0],
    "a passkey in a query": PASSKEYS[1],
}
KEY = SECRETS["the API key"]
FIELDS = ("percentage", "cap", "hash", "confirm", "event", "limit", "start", "apikey")
LOGIN = {"username": "ada", "password": SECRETS["the person's password"]}


def forms(secret: str) -> set[bytes]:
    """How it might be written."""
    plain = secret.encode()
    basic = base64.b64encode(f"admin:{secret}".encode())
    quoted = {quote(secret).encode(), quote(secret, safe="").encode()}
    return {
        plain,
        basic,
        json.dumps(secret)[1:-1].encode(),
        json.dumps(secret, ensure_ascii=False)[1:-1].encode(),
    } | quoted


class Watch:
    """Looks through all that comes from the daemon."""

    def __init__(self, api: ServedApi) -> None:
        self.api = api
        self.seen = 0

    def check(self, text: bytes, where: str) -> None:
        for name, secret in SECRETS.items():
            for form in forms(secret):
                assert form not in text, f"{name} is in {where}"
        self.seen += 1

    def ask(self, method: str, path: str, *rest: Any, **more: Any) -> Answer:
        answer = self.api.client.ask(method, path, *rest, **more)
        self.check(answer.body, f"the answer to {method} {path}")
        self.check(json.dumps(answer.headers, ensure_ascii=False).encode(), f"the headers of {method} {path}")
        return answer

    def everything(self) -> None:
        """Every GET operation, as it is now, with the key and without it."""
        for operation in OPERATIONS:
            if operation.method == "GET" and "events" not in operation.path:
                path = operation.real_path
                if "match" in path:
                    path += f"?detailed=true&url=http://user:{PASSKEYS[0]}@a.example/{PASSKEYS[0]}/announce"
                assert self.ask("GET", path).status in (200, 502, 503)
                self.ask("GET", path, key=None)
        listen = f"GET /api/v1/events HTTP/1.1\r\nHost: x\r\nX-Api-Key: {KEY}\r\n\r\n".encode()
        stream = self.api.client.raw(listen, end=b"}\n\n")
        assert b"event: status" in stream
        self.check(stream, "an event")

    def files(self) -> None:
        self.check(self.api.daemon.log.encode(), "the log")
        self.check(status_path(self.api.database).read_bytes(), "the status file")


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ServedApi]:
    urls = (
        f"http://tracker.example.org/{PASSKEYS[0]}/announce",
        f"http://a.example/announce?passkey={quote(PASSKEYS[1])}",
    )
    with fake_with_torrents(password=SECRETS["the password of qBittorrent"]) as fake:
        for number, name in enumerate(HASHES):
            fake.add(FakeTorrent(name, f"torrent {number}", urls))
        api = ServedApi(
            tmp_path,
            fake,
            auth={"api_key": KEY, **LOGIN},
            cross_seed={
                "enabled": True,
                "url": f"http://127.0.0.1:1/api/webhook?apikey={SECRETS['the key in that address']}",
                "api_key": SECRETS["the key of cross-seed"],
            },
            notifications={"urls": [f"tgram://{SECRETS['the token of a notification']}/42"], "after": 0, "events": []},
            logging={"level": "DEBUG"},
        )
        api.client.key = KEY
        try:
            api.start()
            yield api
        finally:
            api.daemon.kill()


def test_nothing_that_is_secret_is_shown(api: ServedApi) -> None:
    watch = Watch(api)
    api.next_cycle()
    watch.everything()
    for operation in OPERATIONS:
        if operation.method != "GET":
            watch.ask(operation.method, operation.real_path, operation.body_example)
    watch.everything()
    watch.files()
    assert watch.seen > 100


def test_nothing_that_is_secret_is_shown_when_callers_err(api: ServedApi) -> None:
    """Whoever sends a secret to the wrong place, or in the wrong form, does not find it in logs or answers."""
    watch = Watch(api)
    for operation in OPERATIONS:
        path = operation.real_path
        if "events" in path or (operation.access == "open" and operation.method == "POST"):
            continue  # the one has no end, the other is asked below
        watch.ask(operation.method, path, dict(zip(FIELDS, SECRETS.values(), strict=True)))
        watch.ask(operation.method, path, body=" ".join(SECRETS.values()).encode(), headers={"Content-Type": JSON})
        query = "&".join(f"{name}={quote(secret)}" for name, secret in zip(FIELDS, SECRETS.values(), strict=True))
        watch.ask(operation.method, f"{path}?{query}")
        watch.ask(operation.method, path, key=None, headers={"Cookie": query, "Authorization": f"Bearer {PASSKEYS[0]}"})
    for password in SECRETS.values():
        watch.ask("POST", "/api/v1/session", {"username": "ada", "password": password}, key=None)
        watch.ask("POST", "/api/v1/session", {"username": quote(password), "password": 1}, key=None)
    answer = watch.ask("POST", "/api/v1/session", LOGIN)
    assert answer.status in (200, 429)
    form = f"event=add&hash={HASHES[0]}&tracker=http%3A%2F%2Fx%2F{PASSKEYS[0]}&name={quote(PASSKEYS[1])}".encode()
    assert watch.ask("POST", "/webhook", body=form).status == 202
    watch.files()


FAULTS = [Fault.GARBAGE, Fault.REDIRECT, Fault.FORBIDDEN, Fault.STATUS_500, Fault.TRUNCATED, Fault.RESET_MID_BODY]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.lower())
def test_nothing_that_is_secret_is_shown_when_qbittorrent_errs(api: ServedApi, fault: Fault) -> None:
    watch = Watch(api)
    api.wait_until_failing(lambda: api.fake.fail_next("maindata", *[fault] * 4))
    watch.everything()
    watch.ask("POST", "/cycle/force")
    watch.ask("GET", "/preview/next-cycle")
    watch.files()


def test_nothing_that_is_secret_is_shown_when_the_login_or_the_file_is_wrong(api: ServedApi) -> None:
    watch = Watch(api)
    api.fake.password = "another"
    api.fake.expire_sessions()
    api.daemon.wait_for_state("failing")
    watch.everything()
    watch.ask("POST", "/rollback", {"confirm": True})

    api.write(qbittorrent={"password": SECRETS["the password of qBittorrent"], "timeout": SECRETS["the API key"]},
              notifications={"urls": [SECRETS["the token of a notification"]]},
              cross_seed={"url": f"ftp://x/{SECRETS['the key in that address']}", "enabled": PASSKEYS[0]},
              auth={"api_key": KEY[:10], "password": ""}, nothing=PASSKEYS[1])  # fmt: skip
    assert len(watch.ask("POST", "/config/reload").problem(422)["errors"]) >= 5
    until(lambda: b"faults" in watch.ask("GET", "/health").body, "the fault to show")
    watch.everything()
    api.config.write_text("auth: {api_key: " + KEY + ", password: '" + SECRETS["the key of cross-seed"])
    watch.ask("POST", "/config/reload").problem(422)
    watch.everything()
    watch.files()
