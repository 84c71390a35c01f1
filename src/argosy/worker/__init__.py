"""The child process: loads one model and answers one batch at a time (standard library, Python 3.8 and later)."""
