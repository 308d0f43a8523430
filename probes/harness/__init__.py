"""What probes share: children that can be talked to, calls seen blocked, sockets, privileges.

Nothing here sleeps to be "probably in time": a child says through a pipe where it is, or is
seen asleep in the kernel.
"""
