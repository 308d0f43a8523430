"""The commands of papaya, one module each."""
