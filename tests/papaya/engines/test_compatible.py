"""What a client of papayaChat 1.0 shows: it prints its buffer up to a NUL, and never clears it."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from papaya.selftest import Server
from tests.needs import needs
from tests.papaya.conftest import Serve, check_streams, every_engine, load_for, until

CLIENT = r"""
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
static char buffer[4096];
int main(int argc, char **argv) {
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    inet_pton(AF_INET, "127.0.0.1", &server.sin_addr);
    if (argc != 3 || connect(fd, (struct sockaddr *)&server, sizeof server)) return 1;
    if (write(fd, argv[2], strlen(argv[2])) < 0) return 1;
    while (read(fd, buffer, sizeof buffer - 1) > 0) {
        printf("[%s]", buffer);
        fflush(stdout);
    }
    return 0;
}
"""


@contextmanager
def watch(server: Server, folder: Path) -> Iterator[Callable[[], str]]:
    """Run the client; yield a function that returns what it has shown, each read in brackets."""
    (folder / "client.c").write_text(CLIENT)
    program = folder / "client"
    subprocess.run(["cc", "-o", str(program), str(folder / "client.c")], check=True)
    with subprocess.Popen(
        [str(program), str(server.address[1]), server.key.decode()],
        stdout=subprocess.PIPE,
    ) as client:  # fmt: skip
        assert client.stdout
        output = client.stdout.fileno()
        os.set_blocking(output, False)
        shown = b""

        def look() -> str:
            nonlocal shown
            with contextlib.suppress(BlockingIOError):
                shown += os.read(output, 1 << 16)
            return shown.decode()

        yield look
        client.kill()


@needs("cc")
@every_engine
def test_a_short_line_after_a_long_one(engine: str, serve: Serve, tmp_path: Path) -> None:
    shown = {}
    for number, compatible in enumerate(("none", "papayachat")):
        folder = tmp_path / compatible
        folder.mkdir()
        server = serve("--engine", engine, "--compatible", compatible, folder=str(folder))
        with watch(server, folder) as look, load_for(server) as load:
            (talker,) = load.join(1)
            for line in ("hello", "a long line", "short"):
                if line != "hello":
                    load.say(talker, line.encode() + b"\n")
                # Before the next line, so that it comes in a read of its own.
                until(lambda: line in look() and look().endswith("]"), load)  # noqa: B023
            last = look()
            shown[compatible] = last.rpartition("Z ")[2] if number else last.rpartition("short")[2]
    assert "line" in shown["none"]  # The rest of the longer one.
    assert shown["papayachat"] == "short\n]"


@every_engine
def test_our_clients_see_the_same_lines(engine: str, serve: Serve) -> None:
    server = serve("--engine", engine, "--compatible", "papayachat", "--max-line", "1000")
    with load_for(server) as load:
        load.join(8)
        # More than a buffer holds, so that some sends are short.
        assert load.exchange(40, size=900).perfect
        load.say(load.members[0], b"x" * 2000 + b"\n")
        until(lambda: b"* a line was refused" in b"".join(load.members[0].chunks), load)
        check_streams(load, server.read_log)
        for member in load.members:
            sent = b"".join(member.chunks)
            assert sent.endswith(b"\n\0")
            # Nowhere but at the end of a line.
            assert sent.count(b"\0") == sent.count(b"\n\0")
