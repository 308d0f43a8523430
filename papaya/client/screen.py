"""The chat as a full-screen terminal program.

It uses textual, which has scrollback, resizing and a driver for tests; prompt_toolkit has only
the better line editor.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
import zlib
from collections import deque
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import events, work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input, RichLog, Static

from .connection import GAP, Account, Backoff, HistoryFilter, Message, MessageSplitter, connect
from .outbox import LOST, History, Outbox, report_lines
from .terminal import Terminal
from .text import is_safe

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Sequence

    from textual.timer import Timer

_COLOURS = (
    "cyan", "green", "yellow", "magenta", "bright_blue", "bright_red",
    "bright_cyan", "bright_green", "bright_yellow", "bright_magenta",
)  # fmt: skip
_KEPT = 5000
_NO_NAME = "(no name)"
_INDENT = "  "
"""Before each further row of a message, so that none looks like another message."""
_ASKED = 5
"""Lines of a paste from which on the user is asked before they are sent."""
_LEAVING = 5.0
"""Seconds that the user's last lines may take to come back before the client ends."""


class _Line(Input):
    """The input line, with the earlier lines on the arrow keys.

    All keys are handled here, in the order in which they were typed.  textual handles a key
    that is bound to an action only after the keys that were typed after it.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,ctrl+j", "send", show=False),
        Binding("up", "older", show=False),
        Binding("down", "newer", show=False),
        Binding("pageup", "app.scroll(-1)", show=False),
        Binding("pagedown", "app.scroll(1)", show=False),
        Binding("ctrl+c,ctrl+d", "app.quit", show=False),
    ]
    _ANSWERS: ClassVar[dict[str, bool]] = {"ctrl+y": True, "ctrl+n": False, "escape": False}
    _UNDELAYED: ClassVar[frozenset[str]] = frozenset(("ctrl+c", "ctrl+d", "pageup", "pagedown"))

    def __init__(self) -> None:
        super().__init__(placeholder="write a message", id="line", select_on_focus=False)
        self.typed: deque[str] = deque(maxlen=_KEPT)
        self.at = 0
        self.draft = ""
        self.pasted: list[str] = []
        """The lines of a paste that the user has not confirmed."""
        self.delayed: list[events.Key | events.Paste] = []
        """What was typed after such a paste."""

    async def _on_key(self, event: events.Key) -> None:
        if not self.pasted or event.key in self._UNDELAYED:
            if not await self._handle(event):
                return
        elif event.key in self._ANSWERS:
            await self._answer(self._ANSWERS[event.key])
        else:
            self.delayed.append(event)
        event.stop()
        event.prevent_default()

    def _on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()
        if self.pasted:
            self.delayed.append(event)
        else:
            self._paste(event.text)

    async def _answer(self, is_yes: bool) -> None:
        lines, self.pasted = self.pasted, []
        if is_yes:
            self._send_lines(lines)
        self._ask()
        delayed, self.delayed = self.delayed, []
        for at, event in enumerate(delayed):
            if self.pasted:  # Another paste, which asks again.
                self.delayed = delayed[at:]
                break
            if isinstance(event, events.Paste):
                self._paste(event.text)
            else:
                await self._handle(event)

    async def _handle(self, event: events.Key) -> bool:
        """Act on a key; return False if it is not one of the field's."""
        character = event.character
        if character and len(character) == 1 and is_safe(character):
            self.replace(character, *self.selection)
            return True
        bindings = self._bindings.key_to_bindings.get(event.key, [])
        for binding in bindings:
            await self.run_action(binding.action)
        return bool(bindings)

    def _paste(self, text: str) -> None:
        """Insert the text; send each line that it ends, or ask whether to do so."""
        lines = re.split("\r\n|\r|\n", text)
        if len(lines) == 1:
            self._insert(text)
        elif len(lines) > _ASKED:
            self.pasted = lines
            self._ask()
        else:
            self._send_lines(lines)

    def _send_lines(self, lines: list[str]) -> None:
        """Send all lines but the last, which stays in the field."""
        start, end = sorted(self.selection)
        before, after = self.value[:start], self.value[end:]
        *whole, rest = before + lines[0], *lines[1:]
        for line in whole:
            self._say(line)
        self._set(after, 0)
        self._insert(rest)

    def _insert(self, text: str) -> None:
        self.replace(_clean(text), *self.selection)

    def _set(self, value: str, cursor: int) -> None:
        self.value = value
        self.cursor_position = cursor

    def _say(self, text: str) -> None:
        if self.chat.say(text):
            self.typed.append(_clean(text))
        self.at = len(self.typed)

    def _ask(self) -> None:
        count = len(self.pasted) - 1
        self.chat.ask(f"Send {count} lines? Ctrl+Y yes, Ctrl+N no" if self.pasted else "")

    @property
    def chat(self) -> Screen:
        """The application."""
        assert isinstance(self.app, Screen)
        return self.app

    def action_send(self) -> None:
        """Send the line, and clear the field before the next key."""
        text = self.value
        self._set("", 0)
        self._say(text)

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
            value = self.typed[at] if at < len(self.typed) else self.draft
            self._set(value, len(value))


def _clean(text: str) -> str:
    """Return the text as the field can show it."""
    return "".join(character for character in text.replace("\t", " ") if is_safe(character))


class _Log(RichLog):
    """The messages, which are wrapped again when the width changes."""

    def __init__(self) -> None:
        super().__init__(id="log", min_width=1, max_lines=_KEPT)
        self.messages: deque[Text] = deque(maxlen=_KEPT)
        self.width = 0
        self.resizing: Timer | None = None

    def add(self, messages: Sequence[Text]) -> None:
        """Add messages, and scroll to the last if it is followed."""
        self.messages += messages
        if self.width:  # Otherwise the first resize shows them.
            self._write_wrapped(messages)

    def _write_wrapped(self, messages: Iterable[Text]) -> None:
        # One call, because each one costs as much as many messages.
        self.write(Text("\n").join(map(self._wrap, messages)), scroll_end=self.chat.following)

    def _wrap(self, message: Text) -> Text:
        width = max(1, self.width - len(_INDENT))
        if message.cell_len <= width and "\t" not in message.plain:
            return message
        return Text(f"\n{_INDENT}").join(message.wrap(self.app.console, width))

    def _on_resize(self, _event: events.Resize) -> None:
        # Wait for the end of a series of changes.
        if self.scrollable_content_region.width == self.width:
            return
        if not self.width:
            self._wrap_all()
        elif self.resizing:
            self.resizing.reset()
        else:
            self.resizing = self.set_timer(0.1, self._wrap_all)

    def _wrap_all(self) -> None:
        self.resizing = None
        self.width = self.scrollable_content_region.width
        self.clear()
        if self.messages:
            self._write_wrapped(self.messages)

    @property
    def chat(self) -> Screen:
        """The application."""
        assert isinstance(self.app, Screen)
        return self.app

    def on_mouse_scroll_up(self) -> None:
        """Handle the mouse wheel."""
        self.app.call_after_refresh(self.chat.update_position)

    on_mouse_scroll_down = on_mouse_scroll_up


class Screen(App[int]):
    """The chat: the messages, the input line, the status line."""

    CSS = """
    RichLog { height: 1fr; }
    #line { height: 3; }
    #status { height: 1; background: $panel; }
    """
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, account: Account) -> None:
        super().__init__(driver_class=Terminal)
        self.account = account
        self.unread = 0
        self.following = True
        """Whether the newest message is visible.  The widget itself lags in a burst of lines."""
        self.state = "connecting"
        self.question = ""
        self.leaving = False
        self.history_filter = HistoryFilter()
        self.outbox = Outbox()
        self.waiting = asyncio.Event()
        """Set when there are lines to send."""
        self.failure: Exception | None = None

    def compose(self) -> ComposeResult:
        """Yield the widgets."""
        yield _Log()
        yield _Line()
        yield Static(id="status", markup=False)

    def on_mount(self) -> None:
        """Start to connect."""
        self.query_one(_Log).can_focus = False
        self.query_one(_Line).focus()
        self._update_status()
        self._stay_connected()

    def _handle_exception(self, error: Exception) -> None:
        # textual prints a traceback; `run` raises the exception instead.
        self.failure = self.failure or error
        self._close_messages_no_wait()

    @work
    async def _stay_connected(self) -> None:
        backoff = Backoff()
        while True:
            try:
                connected, latency = await _connect(
                    self.account, self.history_filter.make_request()
                )
                received = await self._use(connected, latency, backoff)
                why = (
                    "the server closed the connection" if received else "refused; is the key right?"
                )
            except OSError as error:
                why = error.strerror or str(error)
            seconds = backoff.next_delay()
            self._set_state(f"{why}; reconnecting in {seconds:.0f} s")
            await asyncio.sleep(seconds)

    async def _use(self, connected: socket.socket, latency: float, backoff: Backoff) -> bool:
        """Use one connection until it ends; return whether the server has sent anything."""
        reader, writer = await asyncio.open_connection(sock=connected)
        self._set_state("connected")
        self.history_filter.start_connection()
        history = History(latency)
        sending = self.run_worker(self._send(writer, history))
        try:
            return await self._receive(reader, history, backoff)
        finally:
            sending.cancel()
            writer.close()

    async def _receive(
        self, reader: asyncio.StreamReader, history: History, backoff: Backoff
    ) -> bool:
        splitter = MessageSplitter()
        received = False
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                received = True
                backoff.reset()
                history.extend()
                messages = splitter.feed(data)
                self._show([one for each in messages for one in self.history_filter.filter(each)])
        return received

    async def _send(self, writer: asyncio.StreamWriter, history: History) -> None:
        """Send the user's lines once the history is complete."""
        # A line counts as sent when the kernel takes it, not when asyncio does.
        writer.transport.set_write_buffer_limits(0)
        while rest := history.measure_rest():
            await asyncio.sleep(rest)
        self._show(self.history_filter.finish())
        for line in self.outbox.give_up():  # They are not in the history.
            self._note(f"{LOST}: {self.account.describe_line(line)}")
        with contextlib.suppress(OSError):
            while True:
                while self.outbox.unsent:
                    writer.write(self.outbox.take())
                    await writer.drain()
                self._update_status()
                self.waiting.clear()
                await self.waiting.wait()

    def _set_state(self, state: str) -> None:
        self.state = state
        self._update_status()

    def _show(self, messages: Sequence[Message]) -> None:
        if self.history_filter.take_gap():
            self._note(GAP)
        texts = []
        for message in messages:
            text = Text()
            if message.time:
                text.append(f"{message.time:%H:%M} ", style="dim")
            if message.name:
                text.append(message.name, style=f"bold {choose_colour(message.name)}")
                text.append(" ")
            elif not message.is_notice:  # It must not look like a user's line.
                text.append(f"{_NO_NAME} ", style="dim italic")
            text.append(message.text, style="dim italic" if message.is_notice else "")
            texts.append(text)
            self.outbox.acknowledge(message.raw)
        self._write(texts)
        if self.leaving and not self.outbox:
            self.exit()

    def _note(self, text: str) -> None:
        """Show what the client itself has to say."""
        self._write([Text(f"* {text}", style="dim italic")])

    def _write(self, texts: Sequence[Text]) -> None:
        if texts:
            self.query_one(_Log).add(texts)
        if texts and not self.following:
            self.unread += len(texts)
            self._update_status()

    def ask(self, question: str) -> None:
        """Show a question in place of the status, or the status again if it is empty."""
        self.question = question
        self._update_status()

    def _update_status(self) -> None:
        parts = [self.state]
        if self.unread:
            parts.insert(0, f"{self.unread} unread below")
        if self.outbox.unsent:
            parts.insert(0, f"{len(self.outbox.unsent)} to send")
        parts.append(f"{self.account.name} at {self.account.host} port {self.account.port}")
        self.query_one("#status", Static).update(f" {self.question or ' · '.join(parts)}")

    def action_scroll(self, pages: int) -> None:
        """Scroll by pages, up if negative."""
        log = self.query_one(_Log)
        log.scroll_relative(y=pages * max(1, log.size.height - 1), animate=False)
        if pages < 0 and log.max_scroll_y:
            # A message that comes before the next refresh must not scroll back to the end.
            self.following = False
        self.call_after_refresh(self.update_position)

    def update_position(self) -> None:
        """Check, after the user has scrolled, whether the newest message is visible."""
        self.following = self.query_one(_Log).is_vertical_scroll_end
        if self.following:
            self.unread = 0
            self._update_status()

    def say(self, text: str) -> bool:
        """Send the line when it can be; return False if it is blank.

        It is shown when the server sends it back.
        """
        line = self.account.format_line(text)
        if line:
            self.outbox.unsent.append(line)
            self.waiting.set()
            self._update_status()
        return bool(line)

    async def action_quit(self) -> None:
        """Leave when the user's lines have come back; the second time, at once."""
        if self.leaving or not self.outbox or self.state != "connected":
            self.exit()
            return
        self.leaving = True
        self.ask("Waiting for your lines; Ctrl+C leaves")
        self.set_timer(_LEAVING, self.exit)


async def _connect(account: Account, request: bytes) -> tuple[socket.socket, float]:
    """Connect and send the key, in a thread; see `connect`."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[tuple[socket.socket, float]] = loop.create_future()

    def set_result(found: tuple[socket.socket, float] | OSError) -> None:
        if future.cancelled():
            return
        if isinstance(found, OSError):
            future.set_exception(found)
        else:
            future.set_result(found)

    def connect_in_thread() -> None:
        found: tuple[socket.socket, float] | OSError
        try:
            found = connect(account, request)
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
    screen = Screen(account)
    screen.run()
    if screen.failure:
        raise screen.failure
    has_lost = report_lines(account, screen.outbox)
    return screen.return_code or int(has_lost)
