"""What worker processes may use, and as whom they run: the operator's words for it, read and joined."""

from __future__ import annotations

import dataclasses
import grp
import json
import os
import pwd
import re
from collections.abc import Mapping
from dataclasses import dataclass

_ID = re.compile(r"\d{1,10}")
_LARGEST_ID = 2**32 - 2
_LEAST = {"memory_bytes": 16 * 1024 * 1024, "cpu_s": 1, "processes": 1, "open_files": 16, "file_bytes": 0, "core_bytes": 0}
LIMITS = tuple(_LEAST)
"""The names of the limits, as they are given per model."""
OWN_LIMITS = tuple(name for name in LIMITS if name != "processes")
"""Those that bind a single process, and so harm no other model."""


@dataclass(frozen=True, slots=True)
class User:
    """Another user than the server's own."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    """Further groups."""
    name: str = ""
    home: str = "/"

    def __str__(self) -> str:
        return f"{self.name or self.uid}:{self.gid}"

    @property
    def ids(self) -> frozenset[int]:
        """Its groups."""
        return frozenset((self.gid, *self.groups))


@dataclass(frozen=True, slots=True)
class Confinement:
    """What a worker process may use; None leaves it as the server has it."""

    memory_bytes: int | None = None
    """Memory of its own: heap, stacks and private mappings, not shared libraries nor bodies in shared memory."""
    cpu_s: int | None = None
    """Processor time over its whole life."""
    processes: int | None = None
    """Processes and threads of its user, not only its own."""
    open_files: int | None = None
    file_bytes: int | None = None
    """Size of a file that it writes."""
    core_bytes: int | None = None
    user: User | None = None
    new_privileges: bool = True
    """Whether programs that it starts may gain privileges (set-user-ID)."""

    @property
    def limits(self) -> dict[str, int]:
        """The limits that are set, by name."""
        return {name: value for name in LIMITS if (value := getattr(self, name)) is not None}

    @property
    def is_free(self) -> bool:
        """Whether nothing at all is confined."""
        return not self.limits and self.user is None and self.new_privileges

    def replaced(self, own: ModelConfinement) -> Confinement:
        """With the operator's words for one model."""
        return dataclasses.replace(self, **dict(own.limits), user=own.user or self.user)  # type: ignore[arg-type]  # the names are those of LIMITS

    def tightened(self, limits: Mapping[str, int]) -> Confinement:
        """With what somebody else asks for: never more than it is."""
        mine = self.limits
        return dataclasses.replace(self, **{name: min(value, mine.get(name, value)) for name, value in limits.items()})  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class ModelConfinement:
    """What the operator says about one model."""

    model: str
    limits: tuple[tuple[str, int], ...]
    user: User | None = None


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """What the operator says about single models."""

    entries: tuple[ModelConfinement, ...] = ()

    def __str__(self) -> str:
        said = {entry.model: {**dict(entry.limits), **({"user": str(entry.user)} if entry.user else {})} for entry in self.entries}
        return json.dumps(said) if said else ""

    def of(self, model: str) -> ModelConfinement:
        """What is said about a model; nothing for most."""
        return next((entry for entry in self.entries if entry.model == model), ModelConfinement(model, ()))


def parse_user(text: str) -> User:
    """Read `user`, `user:group` or their numbers. Raises ValueError for one that is not there, and for root."""
    name, _, group = text.strip().partition(":")
    found = _number(name)
    entry = _password_entry(found if found is not None else name)
    if entry is None and found is None:
        raise ValueError(f"There is no user {name}")
    uid = entry.pw_uid if entry is not None else found or 0
    gid = _group(group) if group else entry.pw_gid if entry is not None else uid
    if uid == 0:
        raise ValueError("Workers confined to a user of their own cannot be root")
    if entry is None:
        return User(uid, gid)
    return User(uid, gid, tuple(os.getgrouplist(entry.pw_name, gid)), entry.pw_name, entry.pw_dir)


def _number(text: str) -> int | None:
    return int(text) if _ID.fullmatch(text) and int(text) <= _LARGEST_ID else None


def _password_entry(user: int | str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwuid(user) if isinstance(user, int) else pwd.getpwnam(user)
    except KeyError:
        return None


def _group(text: str) -> int:
    number = _number(text)
    if number is not None:
        return number
    try:
        return grp.getgrnam(text).gr_gid
    except KeyError:
        raise ValueError(f"There is no group {text}") from None


def check_limit(name: str, value: object) -> int:
    """The value of a limit. Raises ValueError when there is no such limit or its value cannot be."""
    if name not in _LEAST:
        raise ValueError(f"There is no limit {name!r}; known are {', '.join(LIMITS)}")
    least = _LEAST[name]
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**63:
        raise ValueError(f"{name} must be an integer of at least {least}")
    return value


def parse_model_limits(text: str) -> ModelLimits:
    """Read a JSON object: model name → object with limits by name and `user`. Raises ValueError that says what is wrong."""
    try:
        found = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"Not a JSON object of models: {error}") from None
    if not isinstance(found, dict):
        raise ValueError('Not a JSON object of models, like {"m": {"memory_bytes": 2147483648}}')
    return ModelLimits(tuple(_of_model(name, entry) for name, entry in found.items()))


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a name is there twice")
    return values


def _of_model(name: str, entry: object) -> ModelConfinement:
    if not isinstance(entry, dict):
        raise ValueError(f"{name}: not an object")
    try:
        limits = tuple((key, check_limit(key, value)) for key, value in entry.items() if key != "user")
        user = parse_user(str(entry["user"])) if "user" in entry else None
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    return ModelConfinement(name, limits, user)
