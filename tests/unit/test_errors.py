"""An error is data; one function makes its message."""

from __future__ import annotations

import pytest

from qguardarr.errors import Busy, ConfigError, Fault, JournalError, dotted, sentence
from qguardarr.exits import Exit, report


def test_a_message_says_what_happened_where_and_what_to_do() -> None:
    error = JournalError("cannot be written", place="journal x.db", hint="free some space")
    assert (error.reason, error.place, error.hint) == ("cannot be written", "journal x.db", "free some space")
    assert str(error) == "journal x.db: cannot be written. hint: free some space"


def test_parts_that_are_empty_are_left_out() -> None:
    assert sentence("it failed") == "it failed"
    assert sentence("it failed", "here") == "here: it failed"
    assert sentence("it failed.", hint="try again") == "it failed. hint: try again"


@pytest.mark.parametrize(
    ("path", "text"),
    [((), ""), (("a",), "a"), (("a", "b"), "a.b"), (("a", 2, "b"), "a[2].b"), (("./x.yaml",), "./x.yaml")],
)
def test_a_path_reads_like_the_file(path: tuple[str | int, ...], text: str) -> None:
    assert dotted(path) == text


def test_each_fault_of_a_configuration_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    faults = (Fault(("a", "b"), "is missing", "add it", "c.yaml", 3), Fault(("VARIABLE",), "is not a setting"))
    assert report(ConfigError(faults=faults)) is Exit.CONFIG
    assert capsys.readouterr().err.splitlines() == [
        "qguardarr: c.yaml:3: a.b: is missing. hint: add it",
        "qguardarr: VARIABLE: is not a setting",
    ]


def test_an_error_of_one_sentence_is_a_fault_too() -> None:
    assert ConfigError("is a folder", place="x", hint="name a file").faults == (
        Fault(("x",), "is a folder", "name a file"),
    )


def test_an_error_without_words_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(Busy()) is Exit.BUSY
    assert capsys.readouterr().err == "qguardarr: Busy\n"
