"""Texts from outside on their way to the log: nothing in them steers a terminal, or makes a line of its own."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from typing import Literal

import pytest
import structlog

from qguardarr.adapters import logs
from qguardarr.adapters.redaction import Redactor
from qguardarr.engine.settings import LogSettings
from qguardarr.errors import ConfigError, Fault, Unreachable
from qguardarr.exits import report
from qguardarr.printable import printable, printable_json
from tests.support.hostile import EVIL


@pytest.mark.parametrize("text", ["", "plain", "größer → 日本語 ½ 🎬", "a  b"])
def test_visible_text_stays(text: str) -> None:
    assert printable(text) == text
    assert printable_json(text) == text


@pytest.mark.parametrize("sign", sorted(set(EVIL) - set("[]8;:/evilhttpxlinkforgedgnp23J1m")))
def test_invisible_characters_are_replaced(sign: str) -> None:
    assert printable(f"a{sign}b") in ("a?b", "a b")
    escaped = printable_json(json.dumps(f"a{sign}b", ensure_ascii=False))
    assert escaped.isprintable()
    assert json.loads(escaped) == f"a{sign}b"


@pytest.fixture
def _logging_as_it_was() -> Iterator[None]:
    root, noisy = logging.getLogger(), logging.raiseExceptions
    handlers, level = root.handlers, root.level
    yield
    root.handlers, logging.raiseExceptions = handlers, noisy
    root.setLevel(level)


Style = Literal["console", "json"]


def logged(style: Style, capsys: pytest.CaptureFixture[str], log: Callable[[], None]) -> list[str]:
    """The lines on the terminal."""
    logs.prepare(Redactor(), LogSettings(style=style))()
    log()
    lines = capsys.readouterr().err.split("\n")
    assert lines.pop() == ""
    return lines


@pytest.mark.parametrize("style", ["console", "json"])
@pytest.mark.usefixtures("_logging_as_it_was")
def test_a_line_of_the_log_stays_one_line(style: Style, capsys: pytest.CaptureFixture[str]) -> None:
    def log() -> None:
        structlog.get_logger("a").warning(EVIL, reason=EVIL, bare="x\x1b]0;y", nested={EVIL: [EVIL]})
        logging.getLogger("b" + EVIL).warning("foreign %s", EVIL, extra={"more": EVIL})

    lines = logged(style, capsys, log)
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)
    if style == "json":
        assert json.loads(lines[0])["reason"] == EVIL


@pytest.mark.parametrize("style", ["console", "json"])
@pytest.mark.usefixtures("_logging_as_it_was")
def test_a_traceback_keeps_its_lines_and_nothing_else(style: Style, capsys: pytest.CaptureFixture[str]) -> None:
    def log() -> None:
        try:
            raise ValueError(EVIL)
        except ValueError:
            structlog.get_logger().exception("defect")

    lines = logged(style, capsys, log)
    assert "ValueError: evil" in "".join(lines)
    assert all(line.isprintable() for line in lines)


@pytest.mark.usefixtures("_logging_as_it_was")
@pytest.mark.parametrize(("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colours_are_for_terminals_that_want_them(
    variables: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in ({"TERM": "xterm", "NO_COLOR": ""} | variables).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    lines = logged("console", capsys, lambda: structlog.get_logger().warning("hello"))
    assert ("\x1b[" in lines[0]) is coloured


def test_an_error_is_one_line_and_a_list_of_errors_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    report(Unreachable(f"the server says {EVIL}"))
    assert capsys.readouterr().err.count("\n") == 1
    report(
        ConfigError(faults=[Fault((), "one", file="a.yaml", line=1), Fault((), "two\x1b\u2028", file="a.yaml", line=2)])
    )
    assert capsys.readouterr().err == "qguardarr: a.yaml:1: one\nqguardarr: a.yaml:2: two? \n"
