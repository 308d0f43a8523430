"""Load generators: a chat whose every delivery is checked, and a constant rate."""
