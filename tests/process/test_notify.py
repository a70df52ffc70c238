"""Notifications on their way: real children with Apprise, a real HTTP server, and no secret anywhere else."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import structlog

from lab.processes import free_port
from qguardarr.adapters.notify import MOST_WAITING, PROBLEM_S, RETRIES_S, Notifier
from qguardarr.adapters.notify_child import Result
from qguardarr.app.settings import python_command
from qguardarr.engine.feature_ports import Notification
from tests.support.children import children
from tests.support.daemon_process import daemon, until
from tests.support.fake_qbittorrent import FakeQBittorrent

COMMAND = python_command("qguardarr.adapters.notify_child")
TOKEN = "s3cr3t-t0ken-of-the-service"
PASSWORD = "p4ssw0rd-of-the-service"
SOMETHING = Notification(
    "over_cap", "Qguardarr: A is over its cap", "It uploaded 2 MB/s – “much”.\nSee `status`.", "warning"
)

NOT_UNDERSTOOD = "Apprise does not understand this address; write it as github.com/caronc/apprise/wiki says"


def notification(n: int) -> Notification:
    return Notification("errors", f"title {n}", f"body {n}", "info")


class Service:
    """A service of Apprise's `json://` on 127.0.0.1."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.answers: list[int] = []
        """Codes of the next answers; then 200."""
        self.hangs = False
        self.arrived = threading.Condition()
        self.released = threading.Event()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with service.arrived:
                    service.got.append(json.loads(body) | {"path": self.path})
                    code = service.answers.pop(0) if service.answers else 200
                    service.arrived.notify_all()
                if service.hangs:
                    self.send_response(200)
                    self.flush_headers()
                    while not service.released.wait(0.2):
                        self.wfile.write(b"X-Still-There: yes\r\n")  # so that no time-out of Apprise's ends it
                        self.wfile.flush()
                    return
                self.send_response(code)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"json://me:{PASSWORD}@127.0.0.1:{self._server.server_port}/{TOKEN}"

    def wait_for(self, count: int) -> None:
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.got) >= count, 30), f"{len(self.got)} of {count} arrived"

    @property
    def titles(self) -> list[str]:
        with self.arrived:
            return [message["title"] for message in self.got]

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def services() -> Iterator[Callable[[], Service]]:
    made: list[Service] = []

    def make() -> Service:
        made.append(Service())
        return made[-1]

    yield make
    for service in made:
        service.close()


@pytest.fixture
def service(services: Callable[[], Service]) -> Service:
    return services()


@pytest.fixture
def notifiers() -> Iterator[Callable[..., Notifier]]:
    made: list[Notifier] = []

    def make(*urls: str, **settings: Any) -> Notifier:
        made.append(Notifier(settings.pop("command", COMMAND), **settings))
        made[-1].configure(urls)
        return made[-1]

    yield make
    for notifier in made:
        notifier.close()


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """What is logged, as it is before anything is redacted."""
    kept: list[dict[str, Any]] = []

    def keep(_logger: Any, _name: str, event: Any) -> Any:
        kept.append(dict(event))
        raise structlog.DropEvent

    structlog.configure(processors=[structlog.processors.format_exc_info, keep], cache_logger_on_first_use=False)
    yield kept
    structlog.reset_defaults()


def free_of_secrets(*texts: object) -> None:
    for text in texts:
        assert TOKEN not in str(text)
        assert PASSWORD not in str(text)


def refusing_url() -> str:
    """Nobody listens there."""
    return f"json://me:{PASSWORD}@127.0.0.1:1/{TOKEN}"


# -- delivery ---------------------------------------------------------------------------------------------------------


def test_a_message_arrives_unchanged(service: Service, notifiers: Any, lines: list[dict[str, Any]]) -> None:
    notifier = notifiers(service.url)
    notifier.send([SOMETHING])
    service.wait_for(1)
    message = service.got[0]
    assert (message["title"], message["message"], message["type"]) == (SOMETHING.title, SOMETHING.body, "warning")
    until(lambda: bool(lines), "a line in the log")
    assert lines == [{"event": "notified", "of": "over_cap", "services": 1}]
    assert notifier.problem == ""


@pytest.mark.parametrize("severity", ["info", "warning", "failure", "success"])
def test_severities_are_apprise_s(service: Service, notifiers: Any, severity: Any) -> None:
    notifiers(service.url).send([Notification("errors", "title", "body", severity)])
    service.wait_for(1)
    assert service.got[0]["type"] == severity


def test_messages_arrive_in_order_at_all_services(services: Callable[[], Service], notifiers: Any) -> None:
    first, second = services(), services()
    notifiers(first.url, second.url).send([notification(n) for n in range(3)])
    for service in (first, second):
        service.wait_for(3)
        assert service.titles == ["title 0", "title 1", "title 2"]


def test_without_addresses_nothing_is_sent_and_nothing_kept(service: Service, notifiers: Any) -> None:
    notifier = notifiers()
    notifier.send([SOMETHING])
    notifier.configure([service.url])
    notifier.send([notification(1)])
    service.wait_for(1)
    assert service.titles == ["title 1"]


def test_the_child_is_found_from_anywhere(
    service: Service, notifiers: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "qguardarr.py").write_text("raise SystemExit(1)")
    (tmp_path / "apprise.py").write_text("raise SystemExit(1)")
    monkeypatch.chdir(tmp_path)
    notifiers(service.url).send([SOMETHING])
    service.wait_for(1)


# -- failures ---------------------------------------------------------------------------------------------------------


def test_a_service_that_failed_is_tried_again_and_the_others_are_not(
    services: Callable[[], Service], notifiers: Any, lines: list[dict[str, Any]]
) -> None:
    good, bad = services(), services()
    bad.answers = [500, 503]
    notifier = notifiers(good.url, bad.url, retries_s=(0.0, 0.0, 0.0))
    notifier.send([SOMETHING])
    bad.wait_for(3)
    until(lambda: len(lines) == 3, "three attempts in the log")
    assert len(good.got) == 1
    assert notifier.problem == ""
    assert [line["event"] for line in lines] == ["notification_failed", "notification_failed", "notified"]
    assert lines[0]["result"] == "JSON (notifications.urls[1]): not delivered (HTTP 500)"
    assert lines[0]["tried_again_after_s"] == 0.0


def test_it_is_given_up_after_three_more_attempts(
    service: Service, notifiers: Any, lines: list[dict[str, Any]]
) -> None:
    service.answers = [500] * 4
    notifier = notifiers(service.url, retries_s=(0.0, 0.0, 0.0))
    notifier.send([notification(1)])
    until(lambda: len(lines) == 4, "four attempts in the log")
    assert lines[-1]["tried_again_after_s"] is None
    assert notifier.problem == "JSON (notifications.urls[0]): not delivered (HTTP 500)"
    notifier.send([notification(2)])
    service.wait_for(5)
    assert service.titles == ["title 1"] * 4 + ["title 2"]
    until(lambda: notifier.problem == "", "the problem to end")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        (refusing_url(), "JSON (notifications.urls[0]): not delivered (no connection, or no answer)"),
        (f"nonsense://{TOKEN}", f"notifications.urls[0]: {NOT_UNDERSTOOD}"),
        (f"json://{TOKEN} x", f"notifications.urls[0]: {NOT_UNDERSTOOD}"),
        (TOKEN, f"notifications.urls[0]: {NOT_UNDERSTOOD}"),
    ],
)
def test_a_failure_is_a_problem_in_words(url: str, problem: str, notifiers: Any, lines: list[dict[str, Any]]) -> None:
    notifier = notifiers(url)
    notifier.send([SOMETHING])
    until(lambda: notifier.problem != "", "a problem")
    assert notifier.problem == problem
    until(lambda: bool(lines), "a line in the log")
    free_of_secrets(lines, notifier.problem)


def test_a_service_that_hangs_keeps_no_other_waiting(
    services: Callable[[], Service], notifiers: Any, lines: list[dict[str, Any]]
) -> None:
    hanging, good = services(), services()
    hanging.hangs = True
    notifier = notifiers(hanging.url, good.url, timeout_s=8.0)
    notifier.send([SOMETHING])
    good.wait_for(1)
    until(lambda: notifier.problem != "", "a problem")
    assert notifier.problem.count("notifications.urls") == 1
    assert "notifications.urls[0]" in notifier.problem
    assert "no answer within" in notifier.problem  # 6 s, or 8 s if the child was slow to start


@pytest.mark.parametrize(
    ("program", "problem"),
    [
        ("import time; time.sleep(600)", "no answer within 1 s"),
        ("import sys; sys.exit(3)", "the process that sends it ended with 3"),
        ("print('garbage'); print('[]'); print('{}')", "the process that sends it ended with 0"),
    ],
)
def test_a_child_that_fails_is_a_problem(program: str, problem: str, notifiers: Any, service: Service) -> None:
    notifier = notifiers(service.url, command=[sys.executable, "-c", program], timeout_s=1.0)
    assert notifier.test() == [Result("notifications.urls[0]", "", problem)]


def test_results_from_before_the_child_was_killed_count(notifiers: Any) -> None:
    program = """
import json, time
print(json.dumps({"place": "notifications.urls[1]", "service": "Slow", "problem": ""}), flush=True)
time.sleep(600)
"""
    notifier = notifiers("json://a", "json://b", command=[sys.executable, "-IS", "-c", program], timeout_s=3.0)
    assert [result.ok for result in notifier.test()] == [False, True]


def test_an_invalid_command_is_a_problem(notifiers: Any, service: Service) -> None:
    (result,) = notifiers(service.url, command=["/does/not/exist"]).test()
    assert result.problem == "the process that sends it cannot be started: No such file or directory"


def test_a_problem_is_not_shown_for_ever(notifiers: Any) -> None:
    now = [1000.0]
    notifier = notifiers(refusing_url(), clock=lambda: now[0])
    notifier.send([SOMETHING])
    until(lambda: notifier.problem != "", "a problem")
    now[0] += PROBLEM_S - 1
    assert notifier.problem != ""
    now[0] += 2
    assert notifier.problem == ""


def test_a_corrected_address_gets_waiting_messages_at_once(service: Service, notifiers: Any) -> None:
    notifier = notifiers(refusing_url(), retries_s=(3600.0,))
    notifier.send([SOMETHING])
    until(lambda: notifier.problem != "", "a problem")
    notifier.configure([service.url])
    service.wait_for(1)
    assert service.titles == [SOMETHING.title]
    until(lambda: notifier.problem == "", "the problem to end")


def test_an_address_that_is_gone_gets_nothing_more(service: Service, notifiers: Any) -> None:
    service.answers = [500]
    notifier = notifiers(service.url, retries_s=(3600.0,))
    notifier.send([SOMETHING])
    until(lambda: notifier.problem != "", "a problem")
    notifier.configure([])
    assert notifier.problem == ""
    until(lambda: notifier.waiting == 0, "the waiting message to be dropped")
    assert len(service.got) == 1


def test_the_same_addresses_again_change_no_pause(service: Service, notifiers: Any) -> None:
    service.answers = [500]
    notifier = notifiers(service.url, retries_s=(3600.0,))
    notifier.send([SOMETHING])
    until(lambda: notifier.problem != "", "a problem")
    notifier.configure([service.url])
    assert notifier.problem != ""
    assert notifier.next_try_at > time.monotonic() + 3000


# -- what waits -------------------------------------------------------------------------------------------------------


def test_attempts_are_made_after_1_5_and_30_minutes() -> None:
    assert RETRIES_S == (60.0, 300.0, 1800.0)


def test_dropped_messages_are_logged(service: Service, notifiers: Any, lines: list[dict[str, Any]]) -> None:
    service.hangs = True
    notifier = notifiers(service.url)
    notifier.send([SOMETHING])
    service.wait_for(1)
    notifier.send([notification(n) for n in range(MOST_WAITING + 3)])
    assert notifier.dropped == 3
    assert lines == [{"event": "notifications_dropped", "count": 3, "reason": "too many wait"}]


def test_a_defect_ends_only_its_message(service: Service, notifiers: Any, lines: list[dict[str, Any]]) -> None:
    notifier = notifiers(service.url)
    notifier.send([Notification("errors", "title", object(), "info")])  # type: ignore[arg-type]
    notifier.send([SOMETHING])
    service.wait_for(1)
    assert lines[0]["event"] == "defect"


# -- the end ----------------------------------------------------------------------------------------------------------


def test_closing_ends_a_child_that_hangs(service: Service, notifiers: Any, lines: list[dict[str, Any]]) -> None:
    service.hangs = True
    notifier = notifiers(service.url)
    notifier.send([SOMETHING, notification(1)])
    service.wait_for(1)
    assert len(children()) == 1
    notifier.close()
    assert children() == []
    assert not any(thread.name == "notify" for thread in threading.enumerate())
    assert {"event": "notifications_not_sent", "count": 1} in lines
    notifier.send([SOMETHING])
    assert notifier.waiting == 1
    assert notifier.test()[0].problem == "not sent: Qguardarr ends"


def test_closing_an_unused_notifier(notifiers: Any) -> None:
    notifiers().close()


def test_a_child_ends_soon_after_its_parent() -> None:
    program = """
import signal, sys
signal.alarm = lambda seconds: sys.exit(f"ends after {seconds} s")
from qguardarr.adapters.notify_child import main
main()
"""
    order = b'{"urls": {}, "title": "", "body": "", "type": "info", "within_s": 4.0}'
    done = subprocess.run([sys.executable, "-c", program], input=order, capture_output=True, check=False, timeout=30)
    assert done.stderr == b"ends after 9 s\n"


# -- secrets ----------------------------------------------------------------------------------------------------------


def test_no_secret_is_in_a_log_a_problem_or_the_list_of_processes(
    service: Service, notifiers: Any, lines: list[dict[str, Any]]
) -> None:
    service.hangs = True
    notifier = notifiers(service.url, refusing_url(), f"tgram://{TOKEN}", f"mailto://me:{PASSWORD}@", timeout_s=4.0)
    notifier.send([SOMETHING])
    service.wait_for(1)
    (child,) = children()
    process = Path(f"/proc/{child}")
    assert b"qguardarr.adapters.notify_child" in (process / "cmdline").read_bytes()
    free_of_secrets((process / "cmdline").read_bytes(), (process / "environ").read_bytes())
    until(lambda: notifier.problem != "", "a problem")
    free_of_secrets(notifier.problem, lines, repr(notifier), notifier.test())
    assert notifier.problem.count("notifications.urls") == 4


def test_the_child_prints_nothing_but_its_lines(service: Service) -> None:
    urls = dict(zip("abc", [service.url, refusing_url(), f"tgram://{TOKEN}"], strict=True))
    order = {"urls": urls, "title": "t", "body": "b", "type": "info", "within_s": 8.0}
    done = subprocess.run(COMMAND, input=json.dumps(order).encode(), capture_output=True, check=True, timeout=30)
    assert [json.loads(line).keys() for line in done.stdout.splitlines()] == [{"place", "service", "problem"}] * 3
    free_of_secrets(done.stdout, done.stderr)


def test_the_parent_never_loads_apprise() -> None:
    program = "import sys; sys.modules['rich'] = None; import qguardarr.adapters.notify; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"apprise", "requests", "yaml", "pydantic"} & set(done.stdout.split())


# -- in the daemon ----------------------------------------------------------------------------------------------------


def test_a_daemon_tells_of_a_qbittorrent_that_is_lost(service: Service, tmp_path: Path) -> None:
    config, database = tmp_path / "qguardarr.yaml", tmp_path / "data" / "journal.db"
    with FakeQBittorrent() as fake:
        config.write_text(f"""
global: {{update_interval: 0.5, port: {free_port()}}}
qbittorrent: {{url: "{fake.url}", username: admin, password: "{fake.password}"}}
trackers: [{{id: default, pattern: '.*', max_upload_speed: 1 MB/s}}]
rollback: {{database_path: {database}}}
logging: {{level: DEBUG}}
notifications: {{urls: ["{service.url}"], after: 0}}
""")
        with daemon(config, database) as running:
            running.wait_for_state("holding")
            assert service.got == []
            fake.stop()
            service.wait_for(1)
            assert service.titles == ["Qguardarr: qBittorrent cannot be used"]
            running.wait_for_log("notified")
            assert running.end() == 0
            free_of_secrets(running.log)


# -- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def notify_test(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`qguardarr notify-test` in a folder of its own, with these addresses."""

    def run(urls: list[str], *arguments: str) -> subprocess.CompletedProcess[str]:
        config = tmp_path / "qguardarr.yaml"
        config.write_text(
            "qbittorrent: {host: localhost}\n"
            "trackers: [{id: default, pattern: '.*', max_upload_speed: unlimited}]\n"
            f"notifications: {json.dumps({'urls': urls})}\n"
        )
        return subprocess.run(
            [sys.executable, "-m", "qguardarr", "notify-test", "--config", str(config), *arguments],
            capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path,
        )  # fmt: skip

    return run


def test_the_command_sends_a_test(notify_test: Any, service: Service) -> None:
    done = notify_test([service.url])
    assert (done.returncode, done.stdout) == (0, "JSON (notifications.urls[0]): delivered\n")
    assert service.titles == ["Qguardarr: a test"]
    free_of_secrets(done.stdout, done.stderr)


def test_the_command_fails_if_it_did_not_arrive_everywhere(notify_test: Any, service: Service) -> None:
    done = notify_test([service.url, refusing_url()], "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout) == [
        {"place": "notifications.urls[0]", "service": "JSON", "ok": True, "problem": ""},
        {
            "place": "notifications.urls[1]",
            "service": "JSON",
            "ok": False,
            "problem": "not delivered (no connection, or no answer)",
        },
    ]
    free_of_secrets(done.stdout, done.stderr)


def test_the_command_says_which_address_apprise_does_not_understand(notify_test: Any, service: Service) -> None:
    done = notify_test([service.url, f"nonsense://{TOKEN}"])
    assert done.returncode == 1
    assert f"notifications.urls[1]: {NOT_UNDERSTOOD}\n" in done.stdout
    free_of_secrets(done.stdout, done.stderr)


def test_the_command_needs_an_address(notify_test: Any) -> None:
    done = notify_test([])
    assert done.returncode == 2
    assert "notifications.urls is empty" in done.stderr
