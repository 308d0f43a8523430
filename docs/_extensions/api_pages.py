"""Write the API reference: one page per package, made from docstrings by autodoc.

The docstrings are plain text: `name` is code, and an indented block is an example.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

PACKAGES = ("probes", "papaya", "matrix")
LEFT_OUT = re.compile(r"__main__|\._|probes\.catalogue|papaya\.experiment\.subjects|remote_agent")
"""The catalogue has pages of its own; the rest are programs, not modules to import."""


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.connect("builder-inited", write_pages)
    app.connect("autodoc-process-docstring", convert_docstring)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def write_pages(app: Sphinx) -> None:
    """Write ``api/PACKAGE.rst`` for each package."""
    folder = Path(app.srcdir) / "api"
    folder.mkdir(exist_ok=True)
    modules = list_modules()
    pages: dict[str, list[str]] = {}
    for name in modules:
        top, second = name.split(".")[0], ".".join(name.split(".")[:2])
        pages.setdefault(second if modules.get(second) else top, []).append(name)
    for page, names in pages.items():
        lines = [page, "=" * len(page), ""]
        for name in names:
            lines += [name, "-" * len(name), "", f".. automodule:: {name}"]
            # A package names what its modules define.
            lines += ["" if modules[name] else "   :members:", ""]
        write_if_changed(folder / f"{page}.rst", "\n".join(lines))
    index = ["API reference", "=============", "", ".. toctree::", ""]
    index += [f"   {page}" for page in sorted(pages)]
    write_if_changed(folder / "index.rst", "\n".join([*index, ""]))


def list_modules() -> dict[str, bool]:
    """Return the modules that the reference describes, each with whether it is a package.

    Only packages are imported: a module may need what is not installed where the manual is built.
    """
    found = dict.fromkeys(PACKAGES, True)
    for name in PACKAGES:
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            if not LEFT_OUT.search(module.name):
                found[module.name] = module.ispkg
    return dict(sorted(found.items()))


def convert_docstring(
    app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]
) -> None:
    """Turn plain text into reStructuredText, in place."""
    converted: list[str] = []
    for before, line in zip(["", *lines], lines, strict=False):
        starts_example = line.startswith("    ") and not before.strip()
        if starts_example and not (converted and converted[-1].startswith("    ")):
            in_example = any(text.startswith("    ") for text in converted[-2:])
            if not in_example:
                converted += ["::", ""]
        if line.startswith("    "):
            converted.append(line)
        else:
            converted.append(re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", line).replace("*", r"\*"))
    lines[:] = converted


def write_if_changed(path: Path, text: str) -> None:
    """Write a page only if its text is another: Sphinx then reads it again."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
