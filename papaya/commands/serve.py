"""``papaya serve``: run the service."""

from __future__ import annotations

import contextlib
import gc
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from probes.errors import CommandError

from ..config import FIELDS, LONGEST_LINE
from . import parse_settings

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping

    from ..server.engine import Engine
    from ..settings import Settings

_METAVARS = {
    "key": "FILE",
    "log": "FILE",
    "report": "FILE",
    "pid_file": "FILE",
    "status": "SOCKET",
    "max_unauthenticated": "N",
}
_KINDS = {"int": int, "float": float}


@dataclass(frozen=True)
class ServeRequest:
    """What the user asked for."""

    config_path: str | None
    options: Mapping[str, Any]
    """Entries of the configuration that override the file."""
    verbose: bool


def add_parser(commands: Any) -> None:
    """Add the command ``serve``."""
    parser = commands.add_parser("serve", help="run the service")
    parser.add_argument("--config", metavar="FILE", help="papaya.toml; options override it")
    parser.add_argument(
        "--foreground", action="store_false", dest="daemon", default=None,
        help="stay in the foreground, as supervisors need it (default)",
    )  # fmt: skip
    parser.add_argument(
        "-v", "--verbose", action="store_true",
        help="log each setting and the facts it depends on; the system log always has them",
    )  # fmt: skip
    for name, entry in FIELDS.items():
        flag, help = f"--{name.replace('_', '-')}", entry.metadata["help"]
        if name in ("listen", "set"):
            metavar = "NAME=VALUE" if name == "set" else "ADDRESS"
            parser.add_argument(flag, action="append", metavar=metavar, help=help)
        elif entry.type == "bool":
            parser.add_argument(flag, action="store_true", default=None, help=help)
        else:
            kind = str if name in _METAVARS else _KINDS.get(str(entry.type), str)
            metavar = {int: "N", float: "SECONDS"}.get(kind, _METAVARS.get(name, name.upper()))
            parser.add_argument(flag, type=kind, metavar=metavar, help=help)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    given = {name: value for name in FIELDS if (value := getattr(options, name)) is not None}
    if "set" in given:
        given["set"] = parse_settings(given["set"])
    return serve(ServeRequest(options.config, given, options.verbose))


def serve(request: ServeRequest) -> int:
    """Run the service until it ends, and return the exit status."""
    from .. import config as configuration
    from .. import engines, key
    from ..server import daemonize, event_log, files
    from ..server.engine import ServiceContext
    from ..server.listener import list_addresses, listen
    from ..server.processes import close_inherited
    from ..server.scoreboard import Scoreboard
    from ..server.server import Service
    from ..settings import load_settings

    config = configuration.load(request.config_path, request.options)
    lock_path = files.get_lock_path(config.log)
    paths = {
        "--key": config.key,
        "--log": config.log,
        "the lock of --log": lock_path,
        "--status": config.status_path,
        "--pid-file": config.pid_file,
        "--report": config.report,
        "--config": os.path.abspath(request.config_path) if request.config_path else "",
    }
    files.check_distinct(paths)
    if config.daemon:
        close_inherited()  # The daemon must not keep the shell's descriptors open for ever.
    engine = engines.load_engine(config.engine)
    user = daemonize.find_user(config.user) if config.user else None
    secret = key.load(config.key, user.pw_uid if user else 0)
    with daemonize.act_as(config.user):
        files.check_log(config.log, LONGEST_LINE)
    log_event = event_log.choose_event_log(config.syslog or config.daemon)
    settings = load_settings(config.report, dict(config.set))
    listeners = listen(config.listen, settings["listen"])
    start_report = daemonize.detach(settings["daemon"]) if config.daemon else None

    def release_as_user(release: Callable[..., None], *arguments: object) -> None:
        with daemonize.act_as(config.user):
            release(*arguments)

    try:
        # What is held is released before a failure is reported: then nothing is left of the start.
        with contextlib.ExitStack() as held:
            # One slot per client, or per worker of `pool`.
            slots = max(config.max_clients, config.workers, os.cpu_count() or 1)
            context = ServiceContext(config, settings, secret, Scoreboard(slots), log_event)
            # Before root's part of the start, after which a failure could leave a pid file behind.
            with daemonize.act_as(config.user):
                lock = files.hold_file(lock_path, "--log")
                held.callback(release_as_user, files.release_file, lock_path, lock)
                service = Service(context, listeners, engine)
                held.callback(release_as_user, service.status.close)
            if config.pid_file:
                pid_file = files.hold_file(config.pid_file, "--pid-file")
                held.callback(files.release_file, config.pid_file, pid_file)
            files.check_distinct(paths)  # Again, because two names may have become one file.
            if config.user:
                daemonize.drop_root(config.user, settings["privileges"])
            elif os.geteuid() == 0:
                log_event("every process runs as root; start papaya with --user NAME")
            if request.verbose or config.syslog or config.daemon:
                for line in _describe_settings(settings, engine):
                    log_event(line)

            def ready() -> None:
                nonlocal start_report
                addresses = list_addresses(listeners)
                log_event(f"serving on {', '.join(addresses)} with the engine {config.engine}")
                lines = [f"listening on {address}" for address in addresses]
                if start_report is not None:
                    daemonize.report_start(start_report, lines)
                    start_report = None
                else:
                    event_log.print_lines(lines)

            # Children share this process's memory until one of them writes to it, and a garbage
            # collection does not write to frozen objects.
            gc.collect()
            gc.freeze()
            service.serve(ready)
    except (CommandError, OSError) as error:
        if start_report is not None:
            daemonize.report_failure(start_report, str(error))
        elif config.daemon:
            log_event(str(error))  # A daemon's standard error is /dev/null.
        raise
    return 0


def _describe_settings(settings: Settings, engine: type[Engine]) -> list[str]:
    """Return a line for each setting that the engine uses, with the facts it depends on."""
    lines = []
    for choice in settings.choices.values():
        if choice.name not in engine.unused:
            facts = ", ".join(f"{id}: {answer}" for id, answer in choice.facts.items())
            lines.append(f"setting {choice.name}: {choice.value}; {choice.because} ({facts})")
    return lines
