"""Reach a guest over ssh: write its configuration, and find its Python."""

from __future__ import annotations

import subprocess

_GUEST = """\
Host {name}
    HostName 127.0.0.1
    Port {port}
    User vagrant
    IdentityFile "{key}"
    IdentitiesOnly yes
    # Its host key is new with each start, and the guest is on this machine.
    StrictHostKeyChecking no
    UserKnownHostsFile /dev/null
    LogLevel ERROR
    BatchMode yes
    ControlPath none
    ServerAliveInterval 10
    ServerAliveCountMax 4
"""


_ANSWERS = 'python3 -c "print(6 * 7)"'
# A single word for the login shell, which may be csh(1); /bin/sh runs the rest.
SCRIPT = f"/bin/sh -c 'if sudo -n {_ANSWERS} 2>/dev/null; then echo root; else {_ANSWERS}; fi'"


def write_config(config: str, name: str, port: int, key: str) -> None:
    """Write the file ``config`` for ssh(1), in which ``name`` is a guest on this machine."""
    with open(config, "w", encoding="utf-8") as file:
        file.write(_GUEST.format(name=name, port=port, key=key))


def find_python(config: str, name: str, limit: float = 30) -> tuple[str, str]:
    """Return the command that runs Python in the guest, or why none answers.  Asks once.

    The command runs as root if sudo(8) asks for no password, because only root can measure facts
    that need a second user id.
    """
    command = ["ssh", "-F", config, "-o", f"ConnectTimeout={limit:.0f}", name, SCRIPT]
    try:
        asked = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=limit + 10, check=False
        )
    except subprocess.TimeoutExpired:
        return "", f"ssh did not return within {limit + 10:.0f} s"
    match asked.stdout.split():
        case [b"42", b"root"]:
            return "sudo -n python3", ""
        case [b"42"]:
            return "python3", ""
    said = asked.stderr.decode(errors="replace").strip().splitlines()
    if asked.returncode in (126, 127):
        return "", "the guest has no python3"
    return "", said[-1] if said else f"ssh: exit status {asked.returncode}"
