"""From a type hint to a function that checks and converts a value of that type; made once, when the model loads."""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import json
import types
import typing
from typing import Any, Callable, Dict, List, Tuple, Union

from argosy.handler import InvalidInput

Converter = Callable[[Any, str], Any]
"""Takes a value as JSON gives it and the name of its place; raises `InvalidInput` naming both."""

_NAMES = {dict: "an object", list: "a list", str: "a string", bool: "true or false", int: "a whole number", float: "a number", type(None): "null"}
_UNION_ORIGINS = (Union, getattr(types, "UnionType", Union))


class UnknownHint(TypeError):
    """No input can be made into such a thing."""


def json_name(value: Any) -> str:
    """What people call the JSON type of a value."""
    return _NAMES.get(type(value), type(value).__name__)


def _refuse(value: Any, place: str, wanted: str) -> InvalidInput:
    return InvalidInput("{} must be {}, not {}".format(place, wanted, json_name(value)))


def _anything(value: Any, place: str) -> Any:
    return value


def _exactly(kind: type) -> Converter:
    def convert(value: Any, place: str) -> Any:
        if type(value) is not kind:
            raise _refuse(value, place, _NAMES[kind])
        return value

    return convert


def _float(value: Any, place: str) -> float:
    if type(value) is not float and type(value) is not int:
        raise _refuse(value, place, _NAMES[float])
    try:
        return float(value)
    except OverflowError as error:
        raise InvalidInput("{} is too large a number".format(place)) from error


def _bytes(kind: Callable[[bytes], Any]) -> Converter:
    def convert(value: Any, place: str) -> Any:
        if isinstance(value, str):
            return kind(value.encode("utf-8", "surrogatepass"))
        if isinstance(value, (bytes, bytearray, memoryview)):
            return kind(bytes(value))
        raise _refuse(value, place, "a string")

    return convert


def _list_of(item: Converter, kind: Callable[[List[Any]], Any]) -> Converter:
    def convert(value: Any, place: str) -> Any:
        if not isinstance(value, list):
            raise _refuse(value, place, "a list")
        return kind([item(element, "{}[{}]".format(place, index)) for index, element in enumerate(value)])

    return convert


def _tuple_of(items: List[Converter]) -> Converter:
    def convert(value: Any, place: str) -> Any:
        if not isinstance(value, list):
            raise _refuse(value, place, "a list")
        if len(value) != len(items):
            raise InvalidInput("{} must be a list of {}, not of {}".format(place, len(items), len(value)))
        pairs = zip(items, value)  # noqa: B905  strict= needs Python 3.10
        return tuple(item(element, "{}[{}]".format(place, index)) for index, (item, element) in enumerate(pairs))

    return convert


def _dict_of(item: Converter) -> Converter:
    def convert(value: Any, place: str) -> Any:
        if not isinstance(value, dict):
            raise _refuse(value, place, "an object")
        return {key: item(element, "{}.{}".format(place, key)) for key, element in value.items()}

    return convert


def _one_of(choices: List[Converter], words: str) -> Converter:
    def convert(value: Any, place: str) -> Any:
        for choice in choices:
            try:
                return choice(value, place)
            except InvalidInput as error:
                reason = error
        raise reason if len(choices) == 1 else InvalidInput("{} must be {}, not {}".format(place, words, json_name(value)))

    return convert


def _literal(values: Tuple[Any, ...]) -> Converter:
    def convert(value: Any, place: str) -> Any:
        for known in values:
            if value == known and type(value) is type(known):
                return known
        raise InvalidInput("{} must be one of {}".format(place, ", ".join(repr(known) for known in values)))

    return convert


def _enum(kind: Any) -> Converter:
    def convert(value: Any, place: str) -> Any:
        try:
            return kind(value)
        except ValueError as error:
            raise InvalidInput("{} must be one of {}".format(place, ", ".join(repr(member.value) for member in kind))) from error

    return convert


def _dataclass(kind: Any, place_of_hint: str) -> Converter:
    known = typing.get_type_hints(kind)
    fields = [field for field in dataclasses.fields(kind) if field.init]
    converters: Dict[str, Converter] = {}
    required = {
        field.name for field in fields if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }

    def convert(value: Any, place: str) -> Any:
        if not isinstance(value, dict):
            raise _refuse(value, place, "an object")
        unknown = sorted(set(value) - set(converters))
        if unknown:
            raise InvalidInput("{} has no field {}; the fields are {}".format(place, unknown[0], ", ".join(converters)))
        missing = sorted(required - set(value))
        if missing:
            raise InvalidInput("{} lacks the field {}".format(place, missing[0]))
        try:
            return kind(**{key: converters[key](element, "{}.{}".format(place, key)) for key, element in value.items()})
        except (ValueError, TypeError) as error:
            raise error if isinstance(error, InvalidInput) else InvalidInput("{}: {}".format(place, error)) from error

    converters.update({field.name: converter(known[field.name], "{}.{}".format(place_of_hint, field.name)) for field in fields})
    return convert


_PLAIN: Dict[Any, Converter] = {
    Any: _anything,
    object: _anything,
    str: _exactly(str),
    int: _exactly(int),
    bool: _exactly(bool),
    float: _float,
    dict: _exactly(dict),
    list: _exactly(list),
    tuple: _list_of(_anything, tuple),
    type(None): _exactly(type(None)),
    None: _exactly(type(None)),
    bytes: _bytes(bytes),
    bytearray: _bytes(bytearray),
    memoryview: _bytes(memoryview),
}
_SEQUENCES = (list, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection)
_MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


def converter(hint: Any, place: str) -> Converter:
    """How values of this hint are made. Raises `UnknownHint` when that is not known."""
    try:
        plain = _PLAIN.get(hint)
    except TypeError:
        plain = None
    if plain is not None:
        return plain
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return _enum(hint)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _dataclass(hint, place)
    if isinstance(hint, type) and issubclass(hint, dict):  # a TypedDict
        return _exactly(dict)
    return _generic(hint, place)


def _generic(hint: Any, place: str) -> Converter:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in _UNION_ORIGINS:
        return _one_of([converter(argument, place) for argument in arguments], "one of {}".format(", ".join(map(hint_name, arguments))))
    if origin is typing.Literal:
        return _literal(arguments)
    if origin is tuple and not (len(arguments) == 2 and arguments[1] is Ellipsis):
        return _tuple_of([converter(argument, place) for argument in arguments])
    if origin is tuple or origin in _SEQUENCES:
        return _list_of(converter(arguments[0], place), tuple if origin is tuple else list)
    if origin in _MAPPINGS and arguments[0] is str:
        return _dict_of(converter(arguments[1], place))
    raise UnknownHint("{} cannot be {}; an input is str, bytes, a number, dict, list or a dataclass".format(place, hint_name(hint)))


def hint_name(hint: Any) -> str:
    """A hint as it is written."""
    return hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint).replace("typing.", "")


def from_text(text: str, hint: Any, place: str) -> Any:
    """A query or form parameter as a hinted value: text as it is, anything else read as JSON. Raises `InvalidInput`."""
    if hint is str or hint is Any:
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        if accepts_text(hint):
            return text
        raise InvalidInput("{} must be {}, not the text {!r:.60}".format(place, _NAMES.get(hint, hint_name(hint)), text)) from error


def accepts_text(hint: Any) -> bool:
    """Whether plain text can be a value of this hint."""
    if hint in (str, Any, object) or typing.get_origin(hint) is typing.Literal or (isinstance(hint, type) and issubclass(hint, enum.Enum)):
        return True
    return typing.get_origin(hint) in _UNION_ORIGINS and any(accepts_text(argument) for argument in typing.get_args(hint))
