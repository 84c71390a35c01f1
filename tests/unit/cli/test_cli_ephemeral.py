"""The model store of one run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from argosy.cli.ephemeral import Found, entry_point, ephemeral_store, find, handler_name
from argosy.config import Target
from argosy.errors import ArgosyError, ErrorCode


def folder_with(folder: Path, **files: str) -> Path:
    """The folder, made with these files; the names have `__` for a slash and `_py` for the suffix."""
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_py", ".py").replace("_mar", ".mar").replace("_json", ".json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_a_target_that_is_not_there(tmp_path: Path) -> None:
    """The message says where it was looked for and what a target may be."""
    with pytest.raises(ArgosyError, match=r"there is no nothing\.py in .* or .*store: give a handler file") as caught:
        find(Target(None, "nothing.py"), tmp_path, tmp_path / "store")
    assert caught.value.code is ErrorCode.MODEL_NOT_FOUND


@pytest.mark.parametrize("asked", ["s3://bucket/m.mar", "gs://b/m.tar.gz", "FTP://h/m.mar", "hdfs+x://h/handler.py:predict"])
def test_an_address_that_nothing_is_fetched_from(tmp_path: Path, asked: str) -> None:
    """It is not taken for a path; the message says what to do instead."""
    with pytest.raises(ArgosyError) as caught:
        find(Target(None, asked), tmp_path, tmp_path)
    assert caught.value.code is ErrorCode.INVALID_REQUEST
    assert f"http(s) address; {asked.partition('://')[0]}:// is none of them: fetch it first" in caught.value.message


def test_a_file_address_is_a_path(tmp_path: Path) -> None:
    """As in the lists of models of the older command."""
    folder_with(tmp_path, hello_py="")
    assert find(Target(None, f"file://{tmp_path}/hello.py:f"), Path("/"), None) == Found("hello", tmp_path / "hello.py", True, "f")


@pytest.mark.parametrize("asked", ["", ":predict"])
def test_an_empty_target(tmp_path: Path, asked: str) -> None:
    """An empty variable of a shell does not stand for the current folder."""
    (tmp_path / "handler.py").write_text("def predict(text): return text")
    with pytest.raises(ArgosyError) as caught:
        find(Target("m", asked), tmp_path, None)
    assert caught.value.code is ErrorCode.MODEL_NOT_FOUND


def test_two_models_of_one_name(tmp_path: Path) -> None:
    """They are refused before anything starts; one archive twice as well. Archives from two folders bring names of their own."""
    folder_with(tmp_path, hello_py="", b_py="", x__a_mar="", y__a_mar="")
    for first, second in ((Target(None, "hello.py"), Target("hello", "b.py")), (Target(None, "x/a.mar"), Target(None, "x/a.mar"))):
        with pytest.raises(ArgosyError, match=r"two models would be called .* as NAME=TARGET") as caught, \
                ephemeral_store([first, second], tmp_path, None, tmp_path):
            pass
        assert caught.value.code is ErrorCode.INVALID_CONFIG
    with ephemeral_store([Target(None, "x/a.mar"), Target(None, "y/a.mar")], tmp_path, None, tmp_path) as (_, targets):
        assert [target.url_or_path for target in targets] == ["a.mar", "2-a.mar"]


def test_a_store_that_is_not_there(tmp_path: Path) -> None:
    """The message names it and the option."""
    folder_with(tmp_path, hello_py="")
    store = ephemeral_store([Target(None, "hello.py")], tmp_path, tmp_path / "nope", tmp_path)
    with pytest.raises(ArgosyError, match=r"there is no model store .*nope.* --model-store"), store:
        pass


def test_a_function_of_a_handler_file(tmp_path: Path) -> None:
    """It is called whatever its name is; a file that is not there is named without it."""
    folder_with(tmp_path, hello_py="def classify(x): ...")
    assert find(Target(None, "hello.py:classify"), tmp_path, None) == Found("hello", tmp_path / "hello.py", True, "classify")
    with ephemeral_store([Target(None, "hello.py:classify")], tmp_path, None, tmp_path) as (store, _):
        assert store is not None
        assert json.loads((store / "hello" / "MAR-INF" / "MANIFEST.json").read_text())["model"]["handler"] == "hello:classify"
    with pytest.raises(ArgosyError, match=r"there is no helo\.py in"):
        find(Target(None, "helo.py:classify"), tmp_path, None)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """The reason is told."""
    folder_with(tmp_path, hello_py="")
    store = ephemeral_store([Target(None, "hello.py")], tmp_path, None, Path("/proc"))
    with pytest.raises(ArgosyError, match="cannot prepare the models in /proc") as caught, store:
        pass
    assert caught.value.code is ErrorCode.STORAGE_FULL


def test_an_unreadable_store(tmp_path: Path) -> None:
    """Neither is an operator's store that is no folder hidden, nor an error of the block taken for one of ours."""
    folder_with(tmp_path, hello_py="", store="")
    with pytest.raises(ArgosyError, match="Not a directory"), ephemeral_store([Target(None, "hello.py")], tmp_path, tmp_path / "store", tmp_path):
        pass
    with pytest.raises(FileNotFoundError), ephemeral_store([Target(None, "hello.py")], tmp_path, None, tmp_path):
        raise FileNotFoundError


def test_a_file_that_is_no_python_is_left_to_the_worker(tmp_path: Path) -> None:
    """It tells what is wrong, with the traceback."""
    folder_with(tmp_path, a_py="def (", b_py="\0")
    assert [entry_point(tmp_path / name) for name in ("a.py", "b.py", "c.py")] == ["a", "b", "c"]


@pytest.mark.parametrize(("text", "expected"), [
    ("def predict(x): ...", "h:predict"), ("async def predict(x): ...", "h:predict"), ("def handle(d, c): ...", "h:handle"),
    ("def handle(d, c): ...\ndef predict(x): ...", "h:predict"), ("class Model:\n  def predict(self): ...", "h"), ("def other(): ...", "h"),
])
def test_the_function_of_a_plain_file(tmp_path: Path, text: str, expected: str) -> None:
    """`predict`, else `handle`, else whatever class the worker finds."""
    assert entry_point(folder_with(tmp_path, h_py=text) / "h.py") == expected


@pytest.mark.parametrize(("path", "name"), [
    ("hello/handler.py", "hello"), ("hello/model.py", "hello"), ("a b/service.py", "a_b"), ("hello/predict.py", "predict"),
    ("/handler.py", "handler"), ("x/-.py", "model"),
])
def test_names_of_handler_files(path: str, name: str) -> None:
    """A file that is called like any other is named after its folder."""
    assert handler_name(Path(path)) == name


def test_what_a_target_stands_for(tmp_path: Path) -> None:
    """The current folder comes before the store; archives keep the name that they bring; a bare folder is its handler."""
    store = folder_with(tmp_path / "store", a_mar="", b_mar="")
    cwd = folder_with(tmp_path / "cwd", a_mar="", hello_py="", m__handler_py="", n__x="", p__handler_py="", **{"p__MAR-INF__MANIFEST_json": "{}"})

    folder_with(cwd, o__o_py="")

    def found(text: str, name: str | None = None) -> Found:
        return find(Target(name, text), cwd, store)

    assert found("a.mar") == Found(None, cwd / "a.mar", False)
    assert found("b.mar") == Found(None, store / "b.mar", False)
    assert found("hello.py") == Found("hello", cwd / "hello.py", True)
    assert found("hello.py", "mine") == Found("mine", cwd / "hello.py", True)
    assert found("m") == Found("m", cwd / "m" / "handler.py", True)
    assert found("o") == Found("o", cwd / "o" / "o.py", True)
    assert found("n") == Found(None, cwd / "n", False)
    assert found("p") == Found(None, cwd / "p", False)


def test_a_handler_file_becomes_a_model(tmp_path: Path) -> None:
    """A folder with a manifest and links to what lies beside the file; hidden things stay out; afterwards it is gone."""
    cwd = folder_with(tmp_path / "cwd", hello_py="def predict(x): ...", words="w", _hidden="", __pycache____x="")
    (cwd / ".secret").write_text("")
    with ephemeral_store([Target(None, "hello.py")], cwd, None, tmp_path) as (store, targets):
        assert store is not None
        assert targets == [Target("hello", "hello")]
        assert (store / "hello" / "words").read_text() == "w"
        names = {path.name for path in (store / "hello").iterdir()}
        assert {"hello.py", "words", "MAR-INF"} <= names
        assert not {".secret", "__pycache__"} & names
        manifest = json.loads((store / "hello" / "MAR-INF" / "MANIFEST.json").read_text())
        assert (manifest["model"]["modelName"], manifest["model"]["handler"]) == ("hello", "hello:predict")
    assert not store.exists()
    assert (cwd / "hello.py").exists()


def test_targets_in_the_store_need_no_other(tmp_path: Path) -> None:
    """Nor do urls."""
    store = folder_with(tmp_path / "store", a_mar="")
    targets = [Target("x", "a.mar"), Target(None, "https://h/b.mar")]
    with ephemeral_store(targets, tmp_path, store, tmp_path) as (used, found):
        assert used == store
        assert found == targets
    with ephemeral_store(targets[1:], tmp_path, None, tmp_path) as (used, found):
        assert (used, found) == (None, targets[1:])


def test_a_mixture(tmp_path: Path) -> None:
    """What is in the operator's store can still be registered later; two targets of one name do not hide each other."""
    store = folder_with(tmp_path / "store", a_mar="store", c_mar="")
    cwd = folder_with(tmp_path / "cwd", a_mar="here", sub__a_mar="sub")
    with ephemeral_store([Target(None, "a.mar"), Target("b", "sub/a.mar")], cwd, store, tmp_path) as (used, targets):
        assert used is not None
        assert targets == [Target(None, "a.mar"), Target("b", "2-a.mar")]
        assert [(used / name).read_text() for name in ("a.mar", "2-a.mar", "c.mar")] == ["here", "sub", ""]


@pytest.mark.parametrize("asked", ["x" * 300, "x" * 300 + ".py:f", "./" + "x" * 300])
def test_a_target_that_the_system_will_not_look_at(tmp_path: Path, asked: str) -> None:
    """A name that cannot be, as a folder that nobody may enter, is refused with the system's reason."""
    with pytest.raises(ArgosyError, match=r"cannot look at .*: File name too long") as caught:
        find(Target(None, asked), tmp_path, tmp_path)
    assert caught.value.code is ErrorCode.INVALID_REQUEST


def test_a_store_that_the_system_will_not_look_at(tmp_path: Path) -> None:
    """There is none of that name."""
    folder_with(tmp_path, hello_py="")
    store = ephemeral_store([Target(None, "hello.py")], tmp_path, tmp_path / ("x" * 300), tmp_path)
    with pytest.raises(ArgosyError, match="there is no model store"), store:
        pass
