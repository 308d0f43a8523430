"""The matrix: the lab and papaya on every platform there is a way to.

A *cell* is a platform (`cells.toml`); a *way* brings it up, names an execnet gateway
and takes it down again (`matrix.ways`, a file each).  What comes back is a report.
"""
