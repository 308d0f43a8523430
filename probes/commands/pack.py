"""pack: make one file of the lab that runs on any guest with Python (PEP 441)."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass

from ..command_line import Parser
from . import options
from .options import Commands

# A constant, so that the same source gives the same bytes.
_EPOCH = (1980, 1, 1, 0, 0, 0)
_MAIN = b"""\
import sys

try:
    from probes.__main__ import main
except SyntaxError:
    line = "probes: needs Python 3.9 or newer; this is %d.%d\\n" % sys.version_info[:2]
    if sys.stderr:
        sys.stderr.write(line)
    sys.exit(3)
sys.exit(main())
"""


@dataclass(frozen=True)
class PackRequest:
    """Which file to make."""

    output: str


def add_parser(commands: Commands) -> None:
    """Add the command."""
    help = "make one file of the lab that runs on any guest"
    options.add_command(commands, "pack", _run, help, _add_options)


def _add_options(parser: Parser) -> None:
    parser.add_argument(
        "-o", "--output", default="lab.pyz", metavar="FILE", help="default: lab.pyz"
    )


def _run(arguments: argparse.Namespace) -> int:
    return write_archive(PackRequest(arguments.output))


def write_archive(request: PackRequest) -> int:
    """Write the archive and print how to run it."""
    from ..files import write_standard_error

    size = pack(request.output)
    name = "lab.pyz" if request.output == "-" else os.path.basename(request.output)
    write_standard_error(
        f"probes: wrote {request.output}, {size // 1024} KiB; python3 {name} report\n"
    )
    return 0


def pack(path: str) -> int:
    """Write the archive to ``path``, whole or not at all, and return its size in bytes.

    ``-`` is standard output.  Raises OSError if it cannot be written.
    """
    import io
    import zipfile

    from ..files import write_standard_output, write_whole

    buffer = io.BytesIO()
    buffer.write(b"#!/usr/bin/env python3\n")
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:

        def add(name: str, data: bytes) -> None:
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)

        add("__main__.py", _MAIN)
        for name, data in sorted(_read_sources()):
            add(name, data)
    if path == "-":
        write_standard_output(buffer.getvalue())
    else:
        write_whole(path, buffer.getvalue())
        if os.path.isfile(path):
            os.chmod(path, os.stat(path).st_mode | 0o111)
    return len(buffer.getvalue())


def _read_sources() -> list[tuple[str, bytes]]:
    """Return the name and contents of every source file, also if the lab runs from an archive."""
    import pkgutil

    import probes

    found = []
    packages = [("probes", list(probes.__path__))]
    while packages:
        package, path = packages.pop()
        folder = package.replace(".", "/")
        names = ["__init__.py"]
        for module in pkgutil.iter_modules(path):
            if module.ispkg:
                name = f"{package}.{module.name}"
                __import__(name)
                packages.append((name, list(sys.modules[name].__path__)))
            else:
                names.append(f"{module.name}.py")
        names += ["py.typed", "report.schema.json"] if package == "probes" else []
        for name in names:
            data = pkgutil.get_data(package, name)
            assert data is not None, f"{package} has no {name}"
            found.append((f"{folder}/{name}", data))
    return found
