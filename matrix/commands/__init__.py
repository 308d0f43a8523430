"""The commands of matrix, one module each: arguments, a typed request, and the work.

A module has ``add_parser(commands)``, which sets ``run``: a function that makes a frozen request
from the arguments and returns the exit status.
"""
