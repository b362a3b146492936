"""Draw docs/images/first-minute.svg from a real session: a demo shop opens, the printed lines are pasted, the books are verified.

Run it with the project's Python: `python tools/picture.py` (`make picture`). Everything shown was printed by the program just now.
"""

from __future__ import annotations

import io
import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

TARGET = Path(__file__).resolve().parents[1] / "docs" / "images" / "first-minute.svg"
WIDTH = 124
PATIENCE_S = 60
FOREGROUND = "#c5c8c6"
WIDE = r"[\u2e80-\u9fff\uff00-\uffef]+"
# The picture must not fetch a font from anywhere.
FORMAT = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL).replace("Fira Code", "ui-monospace, Menlo, Consolas")


class Session:
    """A terminal of its own for one command."""

    def __init__(self, command: str, cwd: Path) -> None:
        self.parent, child = pty.openpty()
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = {**os.environ, "COLUMNS": str(WIDTH), "TERM": "xterm-256color", "PATH": path}
        self.process = subprocess.Popen(  # noqa: S602 (the lines a newcomer pastes are shell lines)
            command, shell=True, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=child, stderr=child, start_new_session=True
        )
        os.close(child)

    def read(self, until: str = "") -> str:
        """What it prints until a text appears, or until it ends."""
        seen, deadline = b"", time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if select.select([self.parent], [], [], 0.2)[0]:
                try:
                    seen += os.read(self.parent, 65536)
                except OSError:
                    break
            if until and until in seen.decode(errors="replace"):
                break
        return seen.decode().replace("\r\n", "\n").rstrip()

    def stop(self) -> None:
        """End the command and everything it started."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
        self.process.wait(PATIENCE_S)
        os.close(self.parent)


def run(command: str, cwd: Path) -> str:
    """All that a command prints."""
    session = Session(command, cwd)
    try:
        return session.read()
    finally:
        session.stop()


def pasted(banner: str) -> str:
    """The first block of lines a newcomer is told to paste: from the token to the receipt."""
    lines = Text.from_ansi(banner).plain.splitlines()
    first = next(number for number, line in enumerate(lines) if "curl" in line or "TOKEN=" in line)
    last = next(number for number in range(first, len(lines)) if not lines[number].strip())
    return "\n".join(line.strip() for line in lines[first:last])


def main() -> None:
    """Hold the session and write the picture."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)

    def show(command: str, printed: str) -> None:
        console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
        text = Text.from_ansi(printed)
        # A style of their own puts wide characters in an element of their own, at the right place whatever font draws them.
        text.highlight_regex(WIDE, style=FOREGROUND)
        console.print(text)
        console.print()

    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        made = run("cardcore init --data var/shop --demo", here)
        service = Session("exec cardcore serve --data var/shop", here)
        try:
            banner = service.read(until="listening on")
            show("make run", f"{made}\n\n{banner}".strip())
            lines = pasted(banner)
            show("# in another terminal, the printed lines", run(lines, here))
        finally:
            service.stop()
        show("cardcore verify --data var/shop", run("cardcore verify --data var/shop", here))
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    drawn = console.export_svg(title="cardcore", code_format=FORMAT)
    # rich counts a wide character as one cell here, and would squeeze it.
    drawn = re.sub(rf' textLength="[\d.]+"([^>]*>{WIDE}<)', r"\1", drawn)
    TARGET.write_text(drawn, encoding="utf-8")


if __name__ == "__main__":
    main()
