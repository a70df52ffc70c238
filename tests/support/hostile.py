"""A text from outside that tries to steer a terminal."""

from __future__ import annotations

EVIL = "evil\x1b[2J\x1b]8;;http://x\x07link\r\nforged\u202egnp\u2028\u2029\u200b\ufeff\x9b31m\x7f\x00\u2066\ue000\ud800"
"""A cleared screen, a link, another line, text that runs backwards, and signs of no width."""
