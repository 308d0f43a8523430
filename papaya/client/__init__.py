"""The client: `plain` for pipes and scripts, `screen` for a terminal."""
