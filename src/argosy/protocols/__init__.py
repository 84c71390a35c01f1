"""Dialects: how requests are spelled and answers are written, one dialect a file."""
