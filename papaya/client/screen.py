"""The chat as a full-screen terminal program.

It uses textual, which has scrollback, resizing and a driver for tests; prompt_toolkit has only
the better line editor.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import zlib
from collections import Counter
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input, RichLog, Static

from .connection import Account, Backoff, HistoryFilter, Message, MessageSplitter, connect

if TYPE_CHECKING:
    import socket

_COLOURS = (
    "cyan", "green", "yellow", "magenta", "bright_blue", "bright_red",
    "bright_cyan", "bright_green", "bright_yellow", "bright_magenta",
)  # fmt: skip
_KEPT = 5000


class _Line(Input):
    """The input line, with the earlier lines on the arrow keys."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "older", show=False),
        Binding("down", "newer", show=False),
    ]

    def __init__(self) -> None:
        super().__init__(placeholder="write a message", id="line")
        self.typed: list[str] = []
        self.at = 0
        self.draft = ""

    def keep(self, text: str) -> None:
        """Remember a line that was sent."""
        self.typed.append(text)
        self.at = len(self.typed)

    def action_older(self) -> None:
        """Show the line before."""
        if self.at == len(self.typed):
            self.draft = self.value
        self._go(self.at - 1)

    def action_newer(self) -> None:
        """Show the line after, or the unfinished line."""
        self._go(self.at + 1)

    def _go(self, at: int) -> None:
        if 0 <= at <= len(self.typed):
            self.at = at
            self.value = self.typed[at] if at < len(self.typed) else self.draft
            self.cursor_position = len(self.value)


class _Log(RichLog):
    """The messages."""

    def on_mouse_scroll_up(self) -> None:
        """Handle the mouse wheel."""
        self.app.call_after_refresh(self.app.update_position)  # type: ignore[attr-defined]

    on_mouse_scroll_down = on_mouse_scroll_up


class Screen(App[int]):
    """The chat: the messages, the input line, the status line."""

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

    def __init__(self, account: Account) -> None:
        super().__init__()
        self.account = account
        self.writer: asyncio.StreamWriter | None = None
        self.unread = 0
        self.following = True
        """Whether the newest message is visible.  The widget itself lags in a burst of lines."""
        self.state = "connecting"
        self.history_filter = HistoryFilter()
        self.unacknowledged: Counter[bytes] = Counter()
        """Lines that were sent and have not come back."""

    def compose(self) -> ComposeResult:
        """Yield the widgets."""
        yield _Log(id="log", wrap=True, markup=False, highlight=False, max_lines=_KEPT)
        yield _Line()
        yield Static(id="status", markup=False)

    def on_mount(self) -> None:
        """Start to connect."""
        self.query_one(RichLog).can_focus = False
        self.query_one(_Line).focus()
        self._update_status()
        self._stay_connected()

    @work
    async def _stay_connected(self) -> None:
        backoff = Backoff()
        while True:
            try:
                connected = await _connect(self.account)
                reader, self.writer = await asyncio.open_connection(sock=connected)
                self._set_state("connected")
                received = await self._receive(reader, backoff)
                why = (
                    "the server closed the connection" if received else "refused; is the key right?"
                )
            except OSError as error:
                why = error.strerror or str(error)
            if self.writer:
                self.writer.close()
                self.writer = None
            self._show_lost()
            seconds = backoff.next_delay()
            self._set_state(f"{why}; reconnecting in {seconds:.0f} s")
            await asyncio.sleep(seconds)

    async def _receive(self, reader: asyncio.StreamReader, backoff: Backoff) -> bool:
        """Show messages until the connection ends; return whether there were any."""
        splitter = MessageSplitter()
        received = False
        self.history_filter.start_connection()
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                if not received:
                    backoff.reset()
                received = True
                for message in splitter.feed(data):
                    self.unacknowledged -= Counter([message.raw])
                    for shown in self.history_filter.filter(message):
                        self._show(shown)
        return received

    def _set_state(self, state: str) -> None:
        self.state = state
        self._update_status()

    def _show(self, message: Message) -> None:
        text = Text()
        if message.time:
            text.append(f"{message.time:%H:%M} ", style="dim")
        if message.name:
            text.append(message.name, style=f"bold {choose_colour(message.name)}")
            text.append(" ")
        text.append(message.text, style="dim italic" if message.is_notice else "")
        self._write(text)

    def _write(self, text: Text) -> None:
        self.query_one(RichLog).write(text, scroll_end=self.following)
        if not self.following:
            self.unread += 1
            self._update_status()

    def _show_lost(self) -> None:
        """Show the lines that were sent but may not be in the log."""
        for line in self.unacknowledged:
            text = line.decode("utf-8", "replace").removeprefix(f"{self.account.name}: ")
            self._write(Text(f"may be lost, as it did not come back: {text}", style="dim italic"))
        self.unacknowledged.clear()

    def _update_status(self) -> None:
        unread = f" · {self.unread} unread below" if self.unread else ""
        server = f"{self.account.host} port {self.account.port}"
        self.query_one("#status", Static).update(
            f" {self.account.name} at {server} · {self.state}{unread}"
        )

    def action_scroll(self, pages: int) -> None:
        """Scroll by pages, up if negative."""
        log = self.query_one(RichLog)
        log.scroll_relative(y=pages * max(1, log.size.height - 1), animate=False)
        self.call_after_refresh(self.update_position)

    def update_position(self) -> None:
        """Check, after the user has scrolled, whether the newest message is visible."""
        self.following = self.query_one(RichLog).is_vertical_scroll_end
        if self.following:
            self.unread = 0
            self._update_status()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Send the line; it is shown when the server sends it back."""
        line = self.account.format_line(event.value)
        if not line:
            return
        if self.writer is None:
            self._set_state("not connected; press Enter again once connected")
            return
        self.writer.write(line)
        self.unacknowledged[line[:-1]] += 1
        field = self.query_one(_Line)
        field.keep(event.value)
        field.value = ""


async def _connect(account: Account) -> socket.socket:
    """Connect and send the key, in a thread."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[socket.socket] = loop.create_future()

    def set_result(found: socket.socket | OSError) -> None:
        if future.cancelled():
            return
        if isinstance(found, OSError):
            future.set_exception(found)
        else:
            future.set_result(found)

    def connect_in_thread() -> None:
        found: socket.socket | OSError
        try:
            found, _ = connect(account)
        except OSError as error:
            found = error
        with contextlib.suppress(RuntimeError):  # The user has left.
            loop.call_soon_threadsafe(set_result, found)

    # A daemon thread, which an executor does not offer: a user who leaves must not wait for an
    # address that does not answer.
    threading.Thread(target=connect_in_thread, daemon=True).start()
    return await future


def choose_colour(name: str) -> str:
    """Return the colour of a name, the same on every screen."""
    return _COLOURS[zlib.crc32(name.encode()) % len(_COLOURS)]


def run(account: Account) -> int:
    """Chat until the user leaves, and return the exit status."""
    return Screen(account).run() or 0
