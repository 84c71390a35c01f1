"""Fakes for tests of the server and of what is built on it."""
