"""Finds the handler that a model names, loads it, and says clearly why it could not be loaded."""

from __future__ import annotations

import difflib
import errno
import importlib
import inspect
import os
import sys
from types import ModuleType
from typing import Any, List, NamedTuple, Optional, Tuple

from argosy.errors import ArgosyError, ErrorCode
from argosy.handler import CallContext, Context
from argosy.worker import legacy, typed
from argosy.worker.entry import Entry
from argosy.worker.manner import manner_of, require_plain
from argosy.worker.tracebacks import one_line, place, text

ONE_CLASS = "Expected only one class in custom service code or a function entry point"
NO_MEMORY = "System out of memory"
_NO_MEMORY_WORDS = ("std::bad_alloc", "can't allocate memory", "annot allocate memory", "out of memory", "RESOURCE_EXHAUSTED")
"""How frameworks say it in exceptions of other classes."""
_MOST_CAUSES = 16


class LoadFailed(ArgosyError):
    """The model could not be loaded. `hint` says how to repair it, if that is known."""

    def __init__(self, code: ErrorCode, message: str, *, detail: str = "", hint: str = "") -> None:
        super().__init__(code, message, detail=detail)
        self.hint = hint


class HandlerName(NamedTuple):
    """A handler as it is written: `module[:function]`, where the module may have folders and end in .py."""

    folder: str
    module: str
    function: Optional[str]


def parse_handler(handler: str) -> HandlerName:
    """Take a handler apart. Raises `LoadFailed` INVALID_MODEL when it names no module."""
    path, _, function = handler.partition(":")
    folder, _, module = path.replace("\\", "/").rpartition("/")
    if module.endswith(".py"):
        module = module[:-3]
    if not module or not all(part.isidentifier() for part in module.split(".")):
        message = "The handler {!r} names no module; write it as module:function or folder/module.py:function".format(handler)
        raise LoadFailed(ErrorCode.INVALID_MODEL, message)
    return HandlerName(folder if folder or not path.startswith("/") else "/", module, function or None)


def load(handler: str, context: Context, swallow_initialize_errors: bool = False) -> Entry:
    """The entry of a model, loaded and initialised. Raises `LoadFailed`; lets SystemExit and its like pass."""
    name = parse_handler(handler)
    try:
        module = _import(name, str(context.system_properties["model_dir"]))
        return _find(module, name, context, swallow_initialize_errors)
    except ArgosyError as error:
        raise error if isinstance(error, LoadFailed) else LoadFailed(error.code, error.message, detail=error.detail) from error
    except Exception as error:  # the boundary to the model's code: whatever it raises is a failed load
        if is_out_of_memory(error):
            raise LoadFailed(ErrorCode.OUT_OF_MEMORY, NO_MEMORY, detail=text(error)) from error
        raise _explain(error, handler, name, str(context.system_properties["model_dir"])) from error


def is_out_of_memory(error: Optional[BaseException]) -> bool:
    """Whether an exception, or one behind it, says that there was not enough memory: Python's, the system's or that of a framework."""
    for _ in range(_MOST_CAUSES):
        if error is None:
            return False
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or getattr(error, "errno", None) == errno.ENOMEM:
            return True
        if isinstance(error, (RuntimeError, ImportError)) and any(words in str(error) for words in _NO_MEMORY_WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False


def _import(name: HandlerName, model_dir: str) -> ModuleType:
    for folder in (model_dir, os.path.join(model_dir, name.folder) if name.folder else model_dir):
        if folder not in sys.path:
            sys.path.insert(0, folder)
        _forget_namesake(name.module.split(".")[0], folder)
    importlib.invalidate_caches()
    return importlib.import_module(name.module)


def _forget_namesake(top: str, folder: str) -> None:
    """Let the module of this name in `folder` be imported although another one of that name was, as a service called `types.py` needs."""
    known = getattr(sys.modules.get(top), "__file__", None)
    own = [os.path.join(folder, top + ".py"), os.path.join(folder, top, "__init__.py")]
    if top in sys.modules and known not in own and any(map(os.path.isfile, own)):
        del sys.modules[top]


def _find(module: ModuleType, name: HandlerName, context: Context, swallow: bool) -> Entry:
    """Choose the entry: the named function, else `handle`, else `predict`, else the one class."""
    wanted = [name.function] if name.function else ["handle", "predict"]
    for function_name in wanted:
        found = getattr(module, function_name, None)
        if inspect.isclass(found):
            return _from_class(found, context, swallow)
        if callable(found):
            return _from_function(found, context)
    return _from_class(_one_class(module, name), context, swallow)


def _from_function(function: Any, context: Context) -> Entry:
    if typed.is_typed(function):
        return typed.entry(function, _call_context(context))
    manner = manner_of(function)
    loading = function(None, context)
    if manner.asynchronous:
        from argosy.worker.concurrent import complete  # only asynchronous handlers need asyncio

        complete(loading)
    elif manner.streams:
        next(loading, None)  # what is before its first `yield` is what a function does when it is called at load
        loading.close()
    return Entry("function", function, manner=manner)


def _call_context(context: Context) -> CallContext:
    call = CallContext.__new__(CallContext)
    call.__dict__.update(context.__dict__)
    return call


def _own_classes(module: ModuleType) -> List[type]:
    return [value for value in vars(module).values() if inspect.isclass(value) and value.__module__ == module.__name__]


def _one_class(module: ModuleType, name: HandlerName) -> type:
    """The class that is the service. Raises `LoadFailed` INVALID_MODEL when there is none, or a choice."""
    own = _own_classes(module)
    old = [found for found in own if issubclass(found, legacy.ModelService)]
    if old:
        return old[0]
    services = own if len(own) == 1 else [found for found in own if hasattr(found, "handle") or hasattr(found, "predict")]
    if len(services) == 1:
        return services[0]
    message = "{} in {}, found {}".format(ONE_CLASS, name.module, ", ".join(found.__name__ for found in own) if own else "none")
    raise LoadFailed(ErrorCode.INVALID_MODEL, message, hint=_function_hint(module, name))


def _function_hint(module: ModuleType, name: HandlerName) -> str:
    functions = [key for key, value in vars(module).items() if inspect.isfunction(value) and value.__module__ == module.__name__]
    wanted = name.function or "handle"
    near = difflib.get_close_matches(wanted, functions, 1)
    if near:
        return "{} has no function {}; did you mean {}:{}?".format(name.module, wanted, name.module, near[0])
    if functions:
        return "{} has no function {}; it has {}".format(name.module, wanted, ", ".join(sorted(functions)[:10]))
    return "{} has no function {}; write one, or one class with initialize and handle".format(name.module, wanted)


def _from_class(found: type, context: Context, swallow: bool) -> Entry:
    if issubclass(found, legacy.ModelService):
        return _from_legacy(found, context)
    if not hasattr(found, "handle") and hasattr(found, "predict"):
        return typed.class_entry(found, _call_context(context))
    service = found()
    handle = getattr(service, "handle")  # noqa: B009  an AttributeError that names the class is the message we want
    try:
        initialize = getattr(service, "initialize", None)
        if initialize is not None:
            require_plain(initialize, "write a plain function")
            initialize(context)
    except Exception as error:  # the old server swallowed these; on request we do too
        if not swallow:
            raise
        sys.stderr.write(text(error))
    return Entry("class", handle, manner=manner_of(handle))


def _from_legacy(found: type, context: Context) -> Entry:
    properties = context.system_properties
    service: Any = found(context.model_name, properties["model_dir"], legacy.manifest_of(context), properties["gpu_id"])
    service.initialize(context)
    return Entry("legacy", service.handle)


def _explain(error: BaseException, handler: str, name: HandlerName, model_dir: str) -> LoadFailed:
    where = place(error)
    message = "The handler {} could not be loaded: {}{}".format(handler, one_line(error), " ({})".format(where) if where else "")
    code, hint = _hint(error, name, model_dir)
    return LoadFailed(code, message, detail=text(error), hint=hint)


def _hint(error: BaseException, name: HandlerName, model_dir: str) -> Tuple[ErrorCode, str]:
    if isinstance(error, ModuleNotFoundError):
        missing = error.name or "?"
        if missing.split(".")[0] == name.module.split(".")[0]:
            return ErrorCode.INVALID_MODEL, _module_hint(missing, os.path.join(model_dir, name.folder))
        install = "{} -m pip install {}".format(sys.executable, missing)
        return ErrorCode.LOAD_FAILED, "install it for this interpreter ({}), or put it into the archive".format(install)
    if isinstance(error, SyntaxError):
        line = (error.text or "").strip()
        return ErrorCode.LOAD_FAILED, "Python {}.{} cannot read line {}: {}".format(*sys.version_info[:2], error.lineno, line)
    return ErrorCode.LOAD_FAILED, ""


def _module_hint(missing: str, folder: str) -> str:
    try:
        modules = sorted(entry[:-3] for entry in os.listdir(folder) if entry.endswith(".py"))
    except OSError:
        modules = []
    near = difflib.get_close_matches(missing, modules, 1)
    if near:
        return "there is no module {} in the model; did you mean {}?".format(missing, near[0])
    return "there is no module {} in the model; it has {}".format(missing, ", ".join(modules[:10]) or "no .py file at its top")
