"""Record `make demo` on a pseudo-terminal and draw its last screen as docs/demo.svg: `python docs/picture.py`.

The demo runs as a user sees it, against a real qBittorrent; nothing is drawn that it did not print.
"""

from __future__ import annotations

import os
import pty
import re
import sys
from pathlib import Path
from typing import Final

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

COLUMNS: Final = 104
"""Wide enough for the demo's bars, narrow enough to be read on a project page."""
PICTURE: Final = Path(__file__).with_name("demo.svg")
_CURSOR_UP: Final = re.compile(rb"\x1b\[\d*A")
_ERASE: Final = re.compile(rb"\x1b\[2K|\x1b\[\?25[hl]|\r")


def main() -> int:
    """Run the demo and write the picture. Return the demo's exit code; after a failure the old picture stays."""
    screen = bytearray()

    def read(descriptor: int) -> bytes:
        data = os.read(descriptor, 65536)
        screen.extend(data)
        return data

    os.environ.update(COLUMNS=str(COLUMNS), LINES="50", TERM="xterm-256color")
    ended = os.waitstatus_to_exitcode(pty.spawn([sys.executable, "-m", "demo", *sys.argv[1:]], read))
    if ended == 0:
        draw(bytes(screen))
    return ended


def draw(output: bytes) -> None:
    """Draw what stays on the screen: the last frame of the live table, and all that follows it."""
    last_frame = _ERASE.sub(b"", _CURSOR_UP.split(output)[-1]).decode().strip()
    console = Console(record=True, width=COLUMNS, file=Path(os.devnull).open("w"))  # noqa: SIM115 # until the end
    console.print(Text("$ make demo\n", style="bold"))
    console.print(Text.from_ansi(last_frame))
    PICTURE.write_text(console.export_svg(title="Qguardarr", code_format=_without_web_fonts()), encoding="utf-8")


def _without_web_fonts() -> str:
    """Return rich's template without fonts from the network: any monospaced font will do."""
    return re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


if __name__ == "__main__":
    sys.exit(main())
