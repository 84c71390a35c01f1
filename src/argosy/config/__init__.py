"""The server's settings: declared once, read from files, environment and command line, and checked before anything starts."""

from argosy.config.address import Address, parse_address
from argosy.config.declare import Setting
from argosy.config.settings import Config, Target, declarations, parse_target

__all__ = ["Address", "Config", "Setting", "Target", "declarations", "parse_address", "parse_target"]
