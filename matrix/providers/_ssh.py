"""What the ways share that lead over ssh: a configuration for one guest, and does it answer?"""

from __future__ import annotations

import subprocess

_GUEST = """\
Host {name}
    HostName 127.0.0.1
    Port {port}
    User vagrant
    IdentityFile "{key}"
    IdentitiesOnly yes
    # Its host key was drawn when it started, and it is on this machine.
    StrictHostKeyChecking no
    UserKnownHostsFile /dev/null
    LogLevel ERROR
    BatchMode yes
    ControlPath none
    ServerAliveInterval 10
    ServerAliveCountMax 4
"""


_ANSWERS = 'python3 -c "print(6 * 7)"'
# One word for whatever shell a user has, csh(1) too, and the rest is for sh(1).
SCRIPT = f"/bin/sh -c 'if sudo -n {_ANSWERS} 2>/dev/null; then echo root; else {_ANSWERS}; fi'"


def write(config: str, name: str, port: int, key: str) -> None:
    """The file ``config`` for ssh(1), by which ``name`` is a guest on this machine."""
    with open(config, "w", encoding="utf-8") as file:
        file.write(_GUEST.format(name=name, port=port, key=key))


def python(config: str, name: str, limit: float = 30) -> tuple[str, str]:
    """The command that runs Python there, or else why none answers, in a line.  Asks once.

    As root, where sudo(8) asks for no password: a guest is there to be measured, and what
    needs a second user id is measured by root alone.
    """
    command = ["ssh", "-F", config, "-o", f"ConnectTimeout={limit:.0f}", name, SCRIPT]
    try:
        asked = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=limit + 10, check=False
        )
    except subprocess.TimeoutExpired:
        return "", f"ssh does not come back within {limit + 10:.0f} s"
    match asked.stdout.split():
        case [b"42", b"root"]:
            return "sudo -n python3", ""
        case [b"42"]:
            return "python3", ""
    said = asked.stderr.decode(errors="replace").strip().splitlines()
    if asked.returncode in (126, 127):
        return "", "there is no python3 in the guest"
    return "", said[-1] if said else f"ssh: exit status {asked.returncode}"
