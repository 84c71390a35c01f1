"""Typed handlers: the signature of a function says what it gets, so the input is checked before it is called."""

from __future__ import annotations

import inspect
import json
import sys
import typing
from typing import Any, Callable, Dict, List, NamedTuple, Optional

from argosy import wire
from argosy.errors import ArgosyError, ErrorCode
from argosy.handler import Batch, CallContext, Context, InvalidInput
from argosy.worker import hints, outputs
from argosy.worker.entry import Entry, nothing_to_close
from argosy.worker.inputs import Inputs, JobRequest, decode_json, decode_text, media_type
from argosy.worker.manner import manner_of, name_of, require_plain
from argosy.worker.pieces import is_stream

_OLD_DATA = ("data",)
_OLD_CONTEXT = ("context", "_context")
_CONTEXT_NAMES = ("ctx", "_ctx", "_", *_OLD_CONTEXT)
_MISSING = inspect.Parameter.empty


def _view(body: wire.Buffer) -> memoryview:
    """A view that may be written to, also of a small body that was read together with others; not of one in the arena."""
    return memoryview(bytearray(body) if type(body) is bytes else body)


_RAW: Dict[Any, Callable[[wire.Buffer], Any]] = {bytes: bytes, bytearray: bytearray, memoryview: _view}


class Parameter(NamedTuple):
    """One input of a typed handler."""

    name: str
    hint: Any
    default: Any
    convert: hints.Converter


class Signature(NamedTuple):
    """What a typed handler takes. `context` is the name of the parameter for the context; `batched` that its one input is a list of inputs."""

    inputs: List[Parameter]
    context: Optional[str]
    batched: bool


def is_typed(function: Any) -> bool:
    """Whether a function is called with its inputs as parameters, not with (data, context) as the old server did.

    It is called the old way when it takes two parameters and the first has no hint, or the second is named context, or they are named
    data and ctx; and when its signature is unknown or open (`*args`).
    """
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return False
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return False
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p for p in positional if p.default is _MISSING]
    if len(positional) < 2 or len(required) > 2:
        return True
    first, second = positional[:2]
    if first.annotation is _MISSING or second.name in _OLD_CONTEXT:
        return False
    return not (first.name in _OLD_DATA and second.name in _CONTEXT_NAMES)


def read_signature(function: Any) -> Signature:
    """The signature of a typed handler. Raises `ArgosyError` INVALID_MODEL when an input cannot be made to fit it."""
    name = getattr(function, "__name__", str(function))
    try:
        known = typing.get_type_hints(function if inspect.isroutine(function) else type(function).__call__)
    except (NameError, TypeError, AttributeError) as error:
        message = "The type hints of {} cannot be read by Python {}.{}: {}".format(name, *sys.version_info[:2], error)
        raise ArgosyError(ErrorCode.INVALID_MODEL, message) from error
    inputs, context, batched = [], None, False
    for parameter in inspect.signature(function).parameters.values():
        hint = known.get(parameter.name, _MISSING)
        if parameter.kind is parameter.VAR_KEYWORD:
            continue
        if parameter.name in _CONTEXT_NAMES or (isinstance(hint, type) and issubclass(hint, Context)):
            context = parameter.name
            continue
        if hint is Batch or typing.get_origin(hint) is Batch:
            batched, hint = True, (typing.get_args(hint) or (_MISSING,))[0]
        inputs.append(_parameter(name, parameter, hint))
    if not inputs or (batched and len(inputs) > 1):
        message = "The handler {} must take {}".format(name, "its batch as the only input" if inputs else "at least one input")
        raise ArgosyError(ErrorCode.INVALID_MODEL, message)
    return Signature(inputs, context, batched)


def _parameter(function: str, parameter: inspect.Parameter, hint: Any) -> Parameter:
    try:
        convert = hints.converter(Any if hint is _MISSING else hint, parameter.name)
    except hints.UnknownHint as error:
        raise ArgosyError(ErrorCode.INVALID_MODEL, "The handler {}: {}".format(function, error)) from error
    return Parameter(parameter.name, hint, parameter.default, convert)


def _is_json(media: str) -> bool:
    lowered = media.lower()
    return lowered == "application/json" or lowered.endswith("+json")


def _kept_view(body: wire.Buffer) -> memoryview:
    """A view for a handler that looks at it after others came: where the body lies there is another one by then."""
    return memoryview(bytes(body))


class TypedEntry(Entry):
    """A typed handler that is ready."""

    def __init__(self, function: Any, context: CallContext, close: Callable[[], Any] = nothing_to_close) -> None:
        self._function = function
        self._signature = read_signature(function)
        hint = self._signature.inputs[0].hint
        self._raw = _RAW.get(hint) if len(self._signature.inputs) == 1 and hint is not _MISSING else None
        # an empty body is an input where the hint is text or bytes; it is never JSON
        self._takes_empty = self._raw is not None or hint is str
        view = self._raw is _view
        manner = manner_of(function)
        if manner.streams or manner.asynchronous:
            if self._signature.batched:
                message = "The handler {} takes a Batch, so it must be a plain function that returns its results".format(name_of(function))
                raise ArgosyError(ErrorCode.INVALID_MODEL, message)
            if view:
                self._raw = _kept_view
        call = self._call_batch if self._signature.batched else self._call_each
        super().__init__("typed", call, manner=manner, batch=self._signature.batched, view=view, close=close)
        self.context = context

    def prepare(self, inputs: Inputs, job: wire.Job) -> Any:
        """The arguments for a job by name. Raises `InvalidInput` when the input does not fit the hints."""
        parts = list(wire.read_parts(job.parts)) if job.parts else []
        body = inputs.body(job)
        parameters = self._signature.inputs
        if len(parameters) == 1:
            return {parameters[0].name: self._only(parameters[0], inputs, job, parts, body)}
        found = {name: decode_text(value) for name, _, value in parts}
        document: Dict[str, Any] = {}
        if body is not None and (len(body) or not parts):
            known = decode_json(body)
            if not isinstance(known, dict):
                raise InvalidInput("The body must be a JSON object with {}, not {}".format(self._names(), hints.json_name(known)))
            document = known
        return {parameter.name: self._named(parameter, document, found) for parameter in parameters if self._is_given(parameter, document, found)}

    def _names(self) -> str:
        return ", ".join(parameter.name for parameter in self._signature.inputs)

    def _is_given(self, parameter: Parameter, document: Dict[str, Any], parts: Dict[str, str]) -> bool:
        if parameter.name in document or parameter.name in parts:
            return True
        if parameter.default is _MISSING:
            raise InvalidInput("The input lacks {}; it takes {}".format(parameter.name, self._names()))
        return False

    @staticmethod
    def _named(parameter: Parameter, document: Dict[str, Any], parts: Dict[str, str]) -> Any:
        if parameter.name in document:
            return parameter.convert(document[parameter.name], parameter.name)
        hint = Any if parameter.hint is _MISSING else parameter.hint
        return parameter.convert(hints.from_text(parts[parameter.name], hint, parameter.name), parameter.name)

    def _only(self, parameter: Parameter, inputs: Inputs, job: wire.Job, parts: List[Any], body: Optional[wire.Buffer]) -> Any:
        """The value of the one parameter: the part of its name, else the body, else the only part."""
        if parameter.hint is _MISSING:
            data = inputs.parameters(job)
            return data["body"] if list(data) == ["body"] else data
        named = [value for name, _, value in parts if name == parameter.name]
        if not named and len(parts) == 1 and body is None:
            # `curl -d 'some text'` announces a form: its only field is then the text itself, without a value
            name, _, value = parts[0]
            named = [value if len(value) else memoryview(name.encode("utf-8", "surrogateescape"))]
        if named:
            return self._from_part(parameter, named[-1])
        is_empty = body is None or not len(body)
        if body is None or (is_empty and (parts or not self._takes_empty)):
            if parameter.default is not _MISSING:
                return parameter.default
            raise InvalidInput("The input lacks {}{}".format(parameter.name, "" if body is None else "; the body is empty"))
        if self._raw is not None:
            return self._raw(body)
        return self._from_body(parameter, body, media_type(job.content_type))

    def _from_part(self, parameter: Parameter, value: wire.Buffer) -> Any:
        if self._raw is not None:
            return self._raw(value)
        return parameter.convert(hints.from_text(decode_text(value), parameter.hint, parameter.name), parameter.name)

    @staticmethod
    def _from_body(parameter: Parameter, body: wire.Buffer, media: str) -> Any:
        """A body as the hinted value: JSON, or plain text where the hint is text. An object may name the parameter."""
        if parameter.hint is str and not _is_json(media):
            return decode_text(body)
        document = decode_json(body)
        if isinstance(document, dict) and list(document) == [parameter.name] and parameter.hint is not dict:
            try:
                return parameter.convert(document[parameter.name], parameter.name)
            except InvalidInput as error:
                try:
                    return parameter.convert(document, "The body")
                except InvalidInput:
                    raise error from None
        return parameter.convert(document, "The body")

    def _call_each(self, inputs: List[Any], context: Context) -> List[Any]:
        """One call for each input; what one raises is its result alone."""
        requests, ids = context.request_processor, context.request_ids
        results: List[Any] = []
        for index, arguments in enumerate(inputs):
            if len(inputs) > 1:
                context.request_processor, context.request_ids = [requests[index]], {0: (ids or {}).get(index, "")}
            if self._signature.context is not None:
                arguments[self._signature.context] = context
            try:
                results.append(self._function(**arguments))
            except Exception as error:  # noqa: BLE001  the job boundary: it is the result of this job
                results.append(error)
        context.request_processor, context.request_ids = requests, ids
        return results

    def _call_batch(self, inputs: List[Any], context: Context) -> Any:
        name = self._signature.inputs[0].name
        arguments: Dict[str, Any] = {name: Batch(arguments[name] for arguments in inputs)}
        if self._signature.context is not None:
            arguments[self._signature.context] = context
        results = self._function(**arguments)
        if is_stream(results):
            raise ArgosyError(ErrorCode.BAD_OUTPUT, outputs.NOT_A_LIST)
        return list(results) if isinstance(results, tuple) else results

    def encode(self, item: Any, request: JobRequest) -> wire.Buffer:
        """The bytes of a result; its media type is set unless the handler did."""
        if isinstance(item, (bytes, bytearray, memoryview)):
            return bytes(item)
        if isinstance(item, str):
            request.get_response_headers().setdefault("content-type", "text/plain; charset=utf-8")
            return outputs.encode_body(item)
        try:
            body = json.dumps(item, default=outputs.as_json).encode("utf-8")
        except (TypeError, ValueError, RecursionError) as error:
            raise outputs.unserialisable(error) from error
        request.get_response_headers().setdefault("content-type", "application/json")
        return body


def entry(function: Any, context: CallContext) -> Entry:
    """The entry of a typed function. Raises `ArgosyError` INVALID_MODEL."""
    return TypedEntry(function, context)


def _call_stage(service: Any, stage: str, context: CallContext) -> None:
    """Call an optional method, with the context if it takes one."""
    method = getattr(service, stage, None)
    if method is not None:
        require_plain(method, "write a plain function")
        method(*([context] if inspect.signature(method).parameters else []))


def class_entry(found: type, context: CallContext) -> Entry:
    """The entry of a class with `predict` and perhaps `load`, `warmup` and `close`; it is made, loaded and warmed up here."""
    service: Any = found()
    _call_stage(service, "load", context)
    close = getattr(service, "close", nothing_to_close)
    if is_typed(service.predict):
        made: Entry = TypedEntry(service.predict, context, close)
    else:
        made = Entry("class", service.predict, manner=manner_of(service.predict), close=close)
    _call_stage(service, "warmup", context)
    return made
