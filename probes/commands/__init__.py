"""The commands of probes, a module each: arguments, a typed request, and the work.

A module has ``add_parser(commands)``, which sets ``run``: a function that makes a frozen request
from the arguments and returns the exit status.  Its imports at the top are few, because every
start of the program imports all commands; what one command needs, it imports when it runs.
"""
