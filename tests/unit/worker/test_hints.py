"""From a type hint to a check, for the hints that a whole body cannot show."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any, Dict, List, Literal, Mapping, Optional, Tuple, TypedDict, Union  # noqa: UP035  old spellings are what is tested

import pytest

from argosy.handler import InvalidInput
from argosy.worker.hints import UnknownHint, accepts_text, converter, from_text, hint_name


class Colour(enum.Enum):
    """A choice."""

    RED = "red"


class Movie(TypedDict):
    """An object without checks."""

    name: str


@dataclass
class Checked:
    """A dataclass that checks itself."""

    size: int
    seen: List[str] = field(default_factory=list)  # noqa: UP006
    hidden: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ValueError("size is negative")


@pytest.mark.parametrize(
    ("hint", "value", "expected"),
    [
        (bytes, "é", "é".encode()),
        (bytearray, b"raw", bytearray(b"raw")),
        (Movie, {"name": "n"}, {"name": "n"}),
        (Mapping[str, int], {"a": 1}, {"a": 1}),
        (dict[str, list[int]], {"a": [1]}, {"a": [1]}),
        (int | None, None, None),
        (tuple, [1], (1,)),
        (Tuple[()], [], ()),  # noqa: UP006
        (Checked, {"size": 1}, Checked(1)),
        (List[Optional[Checked]], [None, {"size": 2}], [None, Checked(2)]),  # noqa: UP006, UP045
        (Any, object, object),
    ],
)
def test_value_fits(hint: Any, value: object, expected: object) -> None:
    """It becomes what the hint says."""
    assert converter(hint, "x")(value, "x") == expected


@pytest.mark.parametrize(
    ("hint", "value", "message"),
    [
        (bytes, 5, "x must be a string, not a whole number"),
        (List[int], {}, "x must be a list, not an object"),  # noqa: UP006
        (Tuple[int, int], "ab", "x must be a list, not a string"),  # noqa: UP006
        (Dict[str, int], [], "x must be an object, not a list"),  # noqa: UP006
        (Dict[str, int], {"a": "b"}, "x.a must be a whole number, not a string"),  # noqa: UP006
        (float, "1", "x must be a number, not a string"),
        (float, True, "x must be a number, not true or false"),
        (Checked, [], "x must be an object, not a list"),
        (Checked, {"size": -1}, "x: size is negative"),
        (Checked, {"size": 1, "hidden": 1}, "x has no field hidden; the fields are size, seen"),
        (Union[int, Checked], {"size": "a"}, "x must be one of int, Checked, not an object"),  # noqa: UP007
        (Literal[1], True, "x must be one of 1"),
    ],
)
def test_value_does_not_fit(hint: Any, value: object, message: str) -> None:
    """The message names the place, what was wanted and what came."""
    with pytest.raises(InvalidInput) as caught:
        converter(hint, "x")(value, "x")
    assert str(caught.value) == message


@pytest.mark.parametrize("hint", [complex, Dict[int, str], set[int], type, "text"])  # noqa: UP006
def test_hint_that_no_input_can_become(hint: Any) -> None:
    """It is refused when the model loads."""
    with pytest.raises(UnknownHint, match="x cannot be"):
        converter(hint, "x")


@pytest.mark.parametrize(
    ("text", "hint", "expected"),
    [
        ("5", str, "5"),
        ("5", int, 5),
        ("5", Any, "5"),
        ("true", bool, True),
        ("red", Colour, "red"),
        ("a", Literal["a"], "a"),
        ("[1]", List[int], [1]),  # noqa: UP006
        ("abc", Optional[str], "abc"),  # noqa: UP045
        ("5", Union[int, str], 5),  # noqa: UP007
    ],
)
def test_text_of_a_query(text: str, hint: Any, expected: object) -> None:
    """Text stays text where the hint allows it; anything else is read as JSON."""
    assert from_text(text, hint, "x") == expected


def test_text_of_a_query_that_does_not_fit() -> None:
    """The message shows the text."""
    with pytest.raises(InvalidInput, match="x must be a whole number, not the text 'five'"):
        from_text("five", int, "x")
    assert not accepts_text(int)


@pytest.mark.parametrize(("hint", "name"), [(int, "int"), (List[int], "List[int]"), (list[int], "list[int]")])  # noqa: UP006
def test_hint_is_named_as_it_is_written(hint: Any, name: str) -> None:
    """In messages."""
    assert hint_name(hint) == name
