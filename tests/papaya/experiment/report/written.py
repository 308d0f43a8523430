"""Constants of the tests of written reports."""

from __future__ import annotations

HARM = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"


SOME = {
    "c-processes": 0.9, "c-epoll": 0.35, "go-goroutines": 0.38, "python-threads": 0.95,
    "c-processes-original": 0.6, "go-goroutines-original": 1.0, "papaya-fork": 1.6,
    "papaya-pool": 0.55,
}  # fmt: skip
