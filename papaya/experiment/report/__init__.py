"""Show a run: tables, plots, a web page, the terminal."""
