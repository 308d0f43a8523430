"""Read docstrings from the source, because ``python -OO`` drops them from the code."""

from __future__ import annotations

import functools
from typing import Any, Callable


def read_docstring(function: Callable[..., Any]) -> str:
    """Return the docstring of a function from the source of its module, "" if it has none.

    The module's loader reads the source: a file, or an entry of an archive.
    """
    code = function.__code__
    loader = function.__globals__.get("__loader__")
    if not hasattr(loader, "get_source"):
        return ""
    return _read_docstrings(loader, function.__module__).get(
        (code.co_name, code.co_firstlineno), ""
    )


@functools.cache
def _read_docstrings(loader: Any, module: str) -> dict[tuple[str, int], str]:
    import ast  # Slow to import, and needed only with -OO.

    found = {}
    for node in ast.walk(ast.parse(loader.get_source(module) or "")):
        if isinstance(node, ast.FunctionDef):
            # The first line of a function's code is that of its first decorator.
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            found[node.name, first] = ast.get_docstring(node) or ""
    return found
