"""The chat on a whole terminal.

On textual and not on prompt_toolkit: scrollback, resizing and a driver for tests come
with it, where prompt_toolkit has the better line editor.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import zlib
from collections import Counter
from typing import ClassVar

from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input, RichLog, Static

from .connection import Account, Backoff, Incoming, Message, Seen, connect

_COLOURS = (
    "cyan", "green", "yellow", "magenta", "bright_blue", "bright_red",
    "bright_cyan", "bright_green", "bright_yellow", "bright_magenta",
)  # fmt: skip
_KEPT = 5000


class _Line(Input):
    """The line one types, with those typed before on the arrow keys."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "older", show=False),
        Binding("down", "newer", show=False),
    ]

    def __init__(self) -> None:
        super().__init__(placeholder="say something", id="line")
        self.typed: list[str] = []
        self.at = 0
        self.draft = ""

    def keep(self, text: str) -> None:
        """Remember a line that was sent."""
        self.typed.append(text)
        self.at = len(self.typed)

    def action_older(self) -> None:
        """The one before."""
        if self.at == len(self.typed):
            self.draft = self.value
        self._go(self.at - 1)

    def action_newer(self) -> None:
        """The one after, or what was begun."""
        self._go(self.at + 1)

    def _go(self, at: int) -> None:
        if 0 <= at <= len(self.typed):
            self.at = at
            self.value = self.typed[at] if at < len(self.typed) else self.draft
            self.cursor_position = len(self.value)


class _Log(RichLog):
    """What was said."""

    def on_mouse_scroll_up(self) -> None:
        """The wheel."""
        self.app.call_after_refresh(self.app.looked)  # type: ignore[attr-defined]

    on_mouse_scroll_down = on_mouse_scroll_up


class Screen(App[int]):
    """The chat: what was said, one line to say something, the status."""

    CSS = """
    RichLog { height: 1fr; }
    #line { height: 3; }
    #status { height: 1; background: $panel; }
    """
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "quit", "quit", priority=True),
        Binding("ctrl+d", "quit", "quit", priority=True),
        Binding("pageup", "scroll(-1)", show=False, priority=True),
        Binding("pagedown", "scroll(1)", show=False, priority=True),
    ]

    def __init__(self, who: Account) -> None:
        super().__init__()
        self.who = who
        self.writer: asyncio.StreamWriter | None = None
        self.unread = 0
        self.following = True
        """Whether the end of the chat is looked at.  The log itself lags in a burst of lines."""
        self.state = "connecting"
        self.seen = Seen()
        self.owed: Counter[bytes] = Counter()
        """Lines that were sent and have not come back."""

    def compose(self) -> ComposeResult:
        """What is on the screen."""
        yield _Log(id="log", wrap=True, markup=False, highlight=False, max_lines=_KEPT)
        yield _Line()
        yield Static(id="status", markup=False)

    def on_mount(self) -> None:
        """Begin."""
        self.query_one(RichLog).can_focus = False
        self.query_one(_Line).focus()
        self._say_status()
        self._stay_connected()

    # The server ---------------------------------------------------------------------------

    @work
    async def _stay_connected(self) -> None:
        backoff = Backoff()
        while True:
            try:
                connected = await _connected(self.who)
                reader, self.writer = await asyncio.open_connection(sock=connected)
                self._become("connected")
                heard = await self._listen(reader, backoff)
                why = "the server closed the connection" if heard else "refused; is the key right?"
            except OSError as error:
                why = error.strerror or str(error)
            if self.writer:
                self.writer.close()
                self.writer = None
            self._say_lost()
            seconds = backoff.next()
            self._become(f"{why}; connecting again in {seconds:.0f} s")
            await asyncio.sleep(seconds)

    async def _listen(self, reader: asyncio.StreamReader, backoff: Backoff) -> bool:
        """Show what comes until no more comes; whether anything did."""
        incoming = Incoming()
        heard = False
        self.seen.joined()
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                if not heard:
                    backoff.worked()
                heard = True
                for message in incoming.feed(data):
                    self.owed -= Counter([message.raw])
                    for shown in self.seen.news(message):
                        self._show(shown)
        return heard

    def _become(self, state: str) -> None:
        self.state = state
        self._say_status()

    # The screen ---------------------------------------------------------------------------

    def _show(self, message: Message) -> None:
        text = Text()
        if message.time:
            text.append(f"{message.time:%H:%M} ", style="dim")
        if message.name:
            text.append(message.name, style=f"bold {colour(message.name)}")
            text.append(" ")
        text.append(message.text, style="dim italic" if message.notice else "")
        self._write(text)

    def _write(self, text: Text) -> None:
        self.query_one(RichLog).write(text, scroll_end=self.following)
        if not self.following:
            self.unread += 1
            self._say_status()

    def _say_lost(self) -> None:
        """Of lines that were sent nobody knows whether they are in the log."""
        for line in self.owed:
            text = line.decode("utf-8", "replace").removeprefix(f"{self.who.name}: ")
            self._write(Text(f"may be lost, as it did not come back: {text}", style="dim italic"))
        self.owed.clear()

    def _say_status(self) -> None:
        unread = f" · {self.unread} unread below" if self.unread else ""
        server = f"{self.who.host} port {self.who.port}"
        self.query_one("#status", Static).update(
            f" {self.who.name} at {server} · {self.state}{unread}"
        )

    def action_scroll(self, pages: int) -> None:
        """Look back, or forward again."""
        log = self.query_one(RichLog)
        log.scroll_relative(y=pages * max(1, log.size.height - 1), animate=False)
        self.call_after_refresh(self.looked)

    def looked(self) -> None:
        """The user has scrolled."""
        self.following = self.query_one(RichLog).is_vertical_scroll_end
        if self.following:
            self.unread = 0
            self._say_status()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Send the line; it is shown when it comes back."""
        line = self.who.line(event.value)
        if not line:
            return
        if self.writer is None:
            self._become("not connected: the line is kept until it can be sent")
            return
        self.writer.write(line)
        self.owed[line[:-1]] += 1
        field = self.query_one(_Line)
        field.keep(event.value)
        field.value = ""


async def _connected(who: Account) -> socket.socket:
    """A connection that has sent the key."""
    loop = asyncio.get_running_loop()
    connected: asyncio.Future[socket.socket] = loop.create_future()

    def told(found: socket.socket | OSError) -> None:
        if connected.cancelled():
            return
        if isinstance(found, OSError):
            connected.set_exception(found)
        else:
            connected.set_result(found)

    def walk() -> None:
        found: socket.socket | OSError
        try:
            found, _ = connect(who)
        except OSError as error:
            found = error
        with contextlib.suppress(RuntimeError):  # The user has left.
            loop.call_soon_threadsafe(told, found)

    # A daemon, which no executor has: who leaves does not wait for an address that is silent.
    threading.Thread(target=walk, daemon=True).start()
    return await connected


def colour(name: str) -> str:
    """The same colour for a name on every screen."""
    return _COLOURS[zlib.crc32(name.encode()) % len(_COLOURS)]


def run(who: Account) -> int:
    """Chat until the user leaves; the exit status."""
    return Screen(who).run() or 0
