"""What the status adds to the engine's own findings."""

from __future__ import annotations

import msgspec
import pytest

from qguardarr.app.status_board import notes_on_version
from qguardarr.core.model import UNLIMITED, Overspeed
from tests.support.guard_loop import MB, policy_of, tracker


@pytest.mark.parametrize(
    ("version", "saves", "noted"),
    [
        ("v4.5.2", True, True),
        ("v5.0.5", True, True),
        ("v5.1.0", True, False),
        ("v5.10.0", True, False),
        ("v4.5.2", False, False),
        (None, True, False),
    ],
)
def test_saved_bytes_that_cannot_be_known_are_noted(version: str | None, saves: bool, noted: bool) -> None:
    group = msgspec.structs.replace(tracker("t1", UNLIMITED), overspeed=Overspeed(MB, saves=saves))
    assert bool(list(notes_on_version(policy_of(group), version))) is noted
