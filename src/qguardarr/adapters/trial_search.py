"""Search patterns that RE2 cannot express for one question of a person, apart from the search that live rules use.

It has a child process and a budget of its own, and logs and counts nothing: the pattern may never be in use.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from qguardarr.adapters.backtrack import Backtracker
from qguardarr.errors import SearchFailed

BUDGET_S: Final = 2.0
"""Time of all searches for one question, together."""
USUAL_S: Final = 0.001
"""Time of a search that costs nothing of it: 30,000 torrents with passkeys of their own are asked one by one."""
LONGEST_S: Final = 15.0
"""The same for all searches, the usual ones and the start of the child included."""


class TrialSearch:
    """Ask a child of its own until the budget is used up, then raise `SearchFailed`. Close it at the end."""

    def __init__(self, command: Sequence[str], clock: Callable[[], float] = time.monotonic) -> None:
        """`command` runs `backtrack_child`; `clock`: monotonic seconds."""
        self._child = Backtracker(command, clock, reports=False)
        self._clock = clock
        self._started = False
        self._spent_s = self._taken_s = 0.0

    def __enter__(self) -> TrialSearch:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.close()

    def __call__(self, pattern: str, text: str) -> bool:
        """Tell whether `re` finds the pattern in the text, as `Backtracker` does."""
        if self._spent_s >= BUDGET_S or self._taken_s >= LONGEST_S:
            raise SearchFailed(
                "searching a pattern with look-around or a back-reference takes too long on the announce URLs",
                hint="write it without",
            )
        if not self._started:
            self._started = True
            self(r"(?!)", "")  # the start of the child is nobody's fault
            self._spent_s = 0.0
        began = self._clock()
        try:
            return self._child(pattern, text)
        finally:
            took_s = self._clock() - began
            self._taken_s += took_s
            self._spent_s += max(0.0, took_s - USUAL_S)
