"""What containers print: kept in a file each, with the last of it at hand for messages, and shown as it comes if wanted."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_TAIL = 4096
_MOST_LINE = 8192


class Output:
    """The log of one container over all its starts. `show` gets whole lines."""

    def __init__(self, path: Path, show: Callable[[str], None] | None = None) -> None:
        self.path = path
        self._file: BinaryIO | None = None
        """Open from the first write on."""
        self._tail = b""
        self._show = show
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._line = ""

    def __repr__(self) -> str:
        return f"<Output {self.path}>"

    def write(self, data: bytes) -> None:
        """More of it. A full disk costs the file, not the container."""
        self._tail = (self._tail + data)[-_TAIL:]
        try:
            self._opened().write(data)
        except OSError as error:
            self._tail = f"{self.path} cannot be written: {error.strerror}\n".encode() + self._tail
        if self._show is not None:
            *lines, self._line = (self._line + self._decoder.decode(data)).split("\n")
            if len(self._line) > _MOST_LINE:
                lines, self._line = [*lines, self._line], ""
            for line in lines:
                self._show(line)

    def _opened(self) -> BinaryIO:
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab", buffering=0)
        return self._file

    def forget_tail(self) -> None:
        """A new start begins."""
        self._tail = b""

    @property
    def tail(self) -> str:
        """The last lines of this start."""
        return self._tail.decode("utf-8", "replace").strip()

    def close(self) -> None:
        """Nothing more comes."""
        if self._show is not None and self._line:
            self._show(self._line)
        if self._file is not None:
            self._file.close()
