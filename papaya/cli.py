"""The command line: serve · chat · key · settings · status · selftest · load · experiment.

Exit statuses: 0 as expected; 1 a check failed; 2 usage or unreadable input; 3 this
machine or its state does not allow it; 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import json
import os
import sys
from typing import TYPE_CHECKING, Any

from probes.command_line import Parser, run_command
from probes.errors import CommandError
from probes.invocation import called

from . import config as configuration
from .commands import experiment, load
from .server.event_log import to_standard_error

if TYPE_CHECKING:
    from probes import Report

    from .settings import Settings


def main(arguments: list[str] | None = None) -> int:
    """Run one command; its exit status."""

    def run() -> int:
        options = _parser().parse_args(arguments)
        status: int = options.run(options)
        return status

    return run_command("papaya", run)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog=called("papaya"),
        description="A self-hosted chat service, configured by measured facts.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    serve = commands.add_parser("serve", help="run the service")
    serve.set_defaults(run=_serve)
    serve.add_argument("--config", metavar="FILE", help="papaya.toml; options win over it")
    serve.add_argument(
        "--foreground", action="store_false", dest="daemon", default=None,
        help="stay in the foreground, as supervisors want it (default)",
    )  # fmt: skip
    serve.add_argument(
        "-v", "--verbose", action="store_true",
        help="say each setting, and the facts it is chosen by, as the system log is always told",
    )  # fmt: skip
    _add_config_options(serve)

    chat = commands.add_parser("chat", help="join a chat")
    chat.add_argument("server", metavar="HOST[:PORT]", nargs="?", help="default: client.toml's")
    chat.add_argument("--key", metavar="FILE", help="file with the key")
    chat.add_argument("--name", help="the name you go by (default: your login name)")
    chat.add_argument("--plain", action="store_true", help="lines in, lines out")
    chat.add_argument(
        "--once", action="store_true",
        help="with --plain: end when every line came back; status 1 if one did not",
    )  # fmt: skip
    chat.set_defaults(run=_chat)

    key = commands.add_parser("key", help="make a key")
    actions = key.add_subparsers(metavar="ACTION", required=True)
    new = actions.add_parser("new", help="write a new key to a file only you can read")
    new.add_argument("file", metavar="FILE")
    new.set_defaults(run=_new_key)

    settings = commands.add_parser("settings", help="what is chosen here, and by which facts")
    settings.add_argument("--report", metavar="FILE", help="facts of another host")
    settings.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    settings.add_argument("--json", action="store_true", help="as JSON")
    settings.set_defaults(run=_settings)

    selftest = commands.add_parser("selftest", help="does the chat work on this machine?")
    selftest.add_argument("--engine", help="this one alone (default: all)")
    selftest.add_argument("--report", metavar="FILE", help="facts of this host, measured before")
    selftest.add_argument("--json", action="store_true", help="as JSON")
    selftest.set_defaults(run=_selftest)

    load.add_parser(commands)
    experiment.add_parser(commands)

    status = commands.add_parser("status", help="the counters of a running service, as JSON")
    status.add_argument("socket", metavar="SOCKET", help="its status socket, LOG.status")
    status.set_defaults(run=_status)
    return parser


def _add_config_options(parser: argparse.ArgumentParser) -> None:
    """An option for every entry of the configuration."""
    for name, entry in configuration.FIELDS.items():
        flag = f"--{name.replace('_', '-')}"
        if name in ("listen", "set"):
            metavar = "NAME=VALUE" if name == "set" else "ADDRESS"
            parser.add_argument(flag, action="append", metavar=metavar, help=entry.metadata["help"])
        elif entry.type == "bool":
            parser.add_argument(
                flag, action="store_true", default=None, help=entry.metadata["help"]
            )
        else:
            kind = {"int": int, "float": float}.get(str(entry.type), str)
            what = {int: "N", float: "SECONDS"}.get(kind, name.upper().replace("MAX_", ""))
            parser.add_argument(flag, type=kind, metavar=what, help=entry.metadata["help"])


def _given(options: argparse.Namespace) -> dict[str, Any]:
    """The configuration's entries that were given as options."""
    given = {n: v for n in configuration.FIELDS if (v := getattr(options, n)) is not None}
    if "set" in given:
        given["set"] = _pairs(given["set"])
    return given


def _pairs(words: list[str]) -> dict[str, str]:
    pairs = dict(word.partition("=")[::2] for word in words)
    if not all(pairs.values()):
        raise CommandError("--set takes NAME=VALUE, such as lock=ofd")
    return pairs


# Facts ---------------------------------------------------------------------------------------


ASKED_AGAIN = 3


def _report(path: str, forced: dict[str, str] | None = None) -> Report:
    """The facts in a file, or those that settings need, measured now."""
    import probes

    from .settings import NEEDED, RuledOut, Settings

    try:
        if path:
            return probes.Report.load(path)
        report = probes.Report.loads(_measured())
        try:
            Settings.from_report(report, forced)
        except RuledOut as refusal:
            # Not to serve is dear, and to ask again is not.  Answers that differ make a fact
            # `unstable`, which rules nothing out.
            to_standard_error(f"{refusal}; asking {ASKED_AGAIN} times more")
            report = probes.measure(only=NEEDED, repeat=ASKED_AGAIN)
        return report
    except probes.ReportError as error:
        raise CommandError(str(error)) from None


def _measured() -> bytes:
    """The facts that settings need, measured now, as JSON.

    In a child and not by `probes.measure`, in half the time: this process has just begun,
    and has no threads, handlers or descriptors that a fresh interpreter would be without.
    """
    from .settings import NEEDED

    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        status = 3
        try:
            gc.disable()
            os.close(reading)
            os.dup2(writing, 1)
            os.close(writing)
            from probes.cli import main as lab

            with contextlib.redirect_stderr(io.StringIO()) as said:
                status = lab(["report", "--json", *(f"--only={id}" for id in NEEDED)])
            if status != 130:  # That we are interrupted, the parent says.
                os.write(2, said.getvalue().encode("utf-8", "backslashreplace"))
        finally:
            os._exit(status)
    os.close(writing)
    with open(reading, "rb") as file:
        measured = file.read()
    _, status = os.waitpid(pid, 0)
    if not measured:
        from .server.server import how_it_ended

        raise CommandError(f"the lab could not measure this host ({how_it_ended(status)})", 3)
    return measured


def _chosen(path: str, forced: dict[str, str]) -> Settings:
    from .settings import Settings

    return Settings.from_report(_report(path, forced), forced)


def _settings(options: argparse.Namespace) -> int:
    settings = _chosen(options.report or "", _pairs(options.set))
    if options.json:
        document = {
            c.name: {
                "question": c.question,
                "value": c.value,
                "because": c.because,
                "facts": dict(c.facts),
            }
            for c in settings.choices.values()
        }
        print(json.dumps(document, indent=1))
        return 0
    width = max(len(name) for name in settings.choices)
    for choice in settings.choices.values():
        print(f"{choice.name.ljust(width)}  {choice.value}")
        print(f"{'':{width}}    {choice.because}")
        for id, answer in choice.facts.items():
            print(f"{'':{width}}    {id}: {answer}")
    return 0


# The service ---------------------------------------------------------------------------------


def _serve(options: argparse.Namespace) -> int:
    from . import engines, key
    from .server import daemonize, event_log
    from .server.listener import listen, names
    from .server.processes import close_all_but
    from .server.scoreboard import Board
    from .server.server import Service
    from .server.session import Chat

    config = configuration.load(options.config, _given(options))
    if config.daemon:
        close_all_but()  # What the shell has open, the daemon is not to keep open for ever.
    engine = engines.load_engine(config.engine)
    secret = key.load(config.key)
    say = event_log.opened(config.syslog or config.daemon)
    settings = _chosen(config.report, dict(config.set))
    listeners = listen(config.listen, settings["listen"])
    telling = None
    if config.daemon:
        event_log.announce([f"listening on {name}" for name in names(listeners)])
        telling = daemonize.detach(settings["daemon"])
    pid_file = None
    try:
        pid_file = daemonize.write_pid(config.pid_file) if config.pid_file else None
        if config.user:
            daemonize.give_up_root(config.user, settings["privileges"])
        told = options.verbose or config.syslog or config.daemon
        for choice in settings.choices.values() if told else ():
            if choice.name in engine.unused:
                continue
            facts = ", ".join(f"{id}: {answer}" for id, answer in choice.facts.items())
            say(f"setting {choice.name}: {choice.value}; {choice.because} ({facts})")
        # One a client, or one a worker of `pool`.
        slots = max(config.max_clients + config.early_drop[2], config.workers, os.cpu_count() or 1)
        service = Service(Chat(config, settings, secret, Board(slots), say), listeners, engine)

        def ready() -> None:
            nonlocal telling
            say(f"serving on {', '.join(names(listeners))} with the engine {config.engine}")
            if telling is not None:
                daemonize.tell(telling, daemonize.READY)
                telling = None
            else:
                event_log.announce([f"listening on {name}" for name in names(listeners)])

        # The children share this process's memory as long as nobody writes to it, and what is
        # frozen no collection writes to.
        gc.collect()
        gc.freeze()
        service.serve(ready)
    except (CommandError, OSError) as error:
        if telling is not None:
            daemonize.tell(telling, str(error).encode())
        elif config.daemon:
            say(str(error))  # Standard error is nobody's.
        raise
    finally:
        if pid_file is not None:
            daemonize.remove_pid(config.pid_file, pid_file)
    return 0


def _chat(options: argparse.Namespace) -> int:
    from .client import connection, plain

    if options.once and not options.plain:
        raise CommandError("--once goes with --plain")
    who = connection.account(vars(options))
    if options.plain:
        return plain.run(who, options.once)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise CommandError("this is no terminal: add --plain, for pipes and scripts")
    try:
        from .client import screen
    except ImportError as missing:
        raise CommandError(
            f"the terminal interface needs {missing.name}: pip install 'textual>=1', "
            "or chat with --plain",
            3,
        ) from None
    return screen.run(who)


def _new_key(options: argparse.Namespace) -> int:
    from . import key

    key.new(options.file)
    print(f"papaya: wrote {options.file}", file=sys.stderr)
    return 0


def _selftest(options: argparse.Namespace) -> int:
    import tempfile

    from . import selftest

    def tell(name: str) -> None:
        if sys.stderr.isatty():
            print(f"\r{name} …\x1b[K", end="", file=sys.stderr, flush=True)

    engines = selftest.chosen(options.engine)
    with tempfile.NamedTemporaryFile(suffix=".json") as measured:
        report = os.path.abspath(options.report) if options.report else ""
        if not report:
            # Once, and not by each server.
            report = measured.name
            measured.write(_report("").dumps().encode())
            measured.flush()
        results = selftest.run(engines, "--report", report, tell=tell)
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    passed = selftest.passed(results)
    if options.json:
        print(json.dumps({"passed": passed, "engines": results}, indent=1))
    else:
        for name, checks in results.items():
            for check, outcome in checks.items():
                print(f"{name}: {check}: {'ok' if outcome is True else outcome}")
    return 0 if passed else 1


def _status(options: argparse.Namespace) -> int:
    from .server import status

    print(json.dumps(status.ask(options.socket), indent=1))
    return 0
