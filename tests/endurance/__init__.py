"""A real service, kept busy while everything bad happens to it."""
