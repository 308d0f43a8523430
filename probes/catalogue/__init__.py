"""One file a family, one function a fact (or a row, where a table is asked)."""
