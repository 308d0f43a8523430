"""The version of papaya-lab, which pyproject.toml reads too."""

VERSION = "0.1.0"
