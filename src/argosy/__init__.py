"""Argosy serves machine-learning models of any framework over HTTP.

This file is also read by worker interpreters down to Python 3.8, so it imports nothing.
"""

__version__ = "0.1.0"
