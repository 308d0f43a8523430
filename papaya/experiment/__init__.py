"""The experiment: what do concurrency paradigms cost?  ``papaya experiment run|report``."""
