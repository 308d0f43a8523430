"""The server: what every engine shares."""
