"""What a handler is called with and what becomes of its results, row by row."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from argosy import wire
from argosy.errors import ErrorCode
from argosy.handler import Context
from argosy.testing.worker import Outcome, job_record, jobs_frame, load_frame, run_worker
from argosy.worker.batch import Batches
from argosy.worker.entry import Entry
from argosy.worker.inputs import Inputs, JobRequest
from argosy.worker.link import Link
from argosy.worker.output import Running

WriteModel = Callable[[str], Path]

ECHO = """
    def handle(data, context):
        if data is None:
            return None
        def show(value):
            return [type(value).__name__, value.decode("latin-1") if isinstance(value, (bytes, bytearray)) else value]
        parts = lambda i: {k: v for k, v in context.get_all_request_header(i).items() if isinstance(v, dict)}
        return [{"order": list(item), "shown": {k: show(v) for k, v in item.items()}, "parts": parts(i)} for i, item in enumerate(data)]
"""


def ask(folder: Path, *records: bytes, handler: str = "svc", **order: Any) -> Outcome:
    """What the handler of a folder answers to jobs that come in one frame."""
    status, outcome = run_worker(load_frame(folder, handler, **order), jobs_frame(*records))
    assert status == 0
    assert outcome.loaded["ok"], outcome.loaded
    return outcome


def one(source: str, model: WriteModel, record: bytes | None = None, **order: Any) -> wire.Answer:
    """The answer of a handler to one job."""
    (answer,) = ask(model(source), record or job_record(7, b"x"), **order).answers
    assert answer.seq == 7
    return answer


def returning(expression: str, before: str = "pass") -> str:
    """A handler that returns an expression."""
    return f"""
import json, http, enum
from argosy.handler import InvalidInput, PredictionException
def handle(data, context):
    if data is None:
        return None
    {before}
    return {expression}
"""


@pytest.mark.parametrize(
    ("content_type", "body", "kind", "value", "media"),
    [
        ("", b"", "bytearray", "", ""),
        ("", b"raw", "bytearray", "raw", ""),
        ("application/octet-stream", b"\x00\xff", "bytearray", "\x00\xff", "application/octet-stream"),
        ("application/json", b'{"a": [1]}', "dict", {"a": [1]}, "application/json"),
        ("application/json; charset=utf-8", b"[1, null]", "list", [1, None], "application/json"),
        ("application/json", b'"text"', "str", "text", "application/json"),
        ("Application/JSON", b"{}", "bytearray", "{}", "Application/JSON"),
        ("application/vnd.api+json", b"{}", "bytearray", "{}", "application/vnd.api+json"),
        ("text/plain", "é".encode(), "str", "é", "text/plain"),
        ("text/csv; charset=latin-1", "é".encode(), "str", "é", "text/csv"),
        ("texture/x", b"t", "str", "t", "texture/x"),
        ("Text/plain", b"t", "bytearray", "t", "Text/plain"),
    ],
)
def test_body_is_decoded_by_its_content_type(model: WriteModel, content_type: str, body: bytes, kind: str, value: object, media: str) -> None:
    """Exactly application/json is JSON, what begins with text is text, everything else bytes; parameters of the type do not matter."""
    answer = one(ECHO, model, job_record(7, body, content_type))
    assert json.loads(answer.body) == {"order": ["body"], "shown": {"body": [kind, value]}, "parts": {"body": {"content-type": media}}}


def test_parts_come_before_the_body_and_the_last_of_a_name_wins(model: WriteModel) -> None:
    """Query and form parameters are bytes; a file is decoded by its type; a part named body is replaced by the body."""
    parts = [("a", "", b"1"), ("body", "", b"gone"), ("file", "application/json", b"[1]"), ("a", "text/plain", b"2")]
    answer = one(ECHO, model, job_record(7, b"B", "", parts=parts))
    assert json.loads(answer.body) == {
        "order": ["a", "body", "file"],
        "shown": {"a": ["str", "2"], "body": ["bytearray", "B"], "file": ["list", [1]]},
        "parts": {"a": {"content-type": "text/plain"}, "body": {"content-type": ""}, "file": {"content-type": "application/json"}},
    }


def test_no_body_is_no_parameter(model: WriteModel) -> None:
    """A job whose input is parts alone has no `body`."""
    answer = one(ECHO, model, job_record(7, None, "multipart/form-data", parts=[("a", "", b"1")]))
    assert json.loads(answer.body)["order"] == ["a"]


def test_nothing_is_decoded_when_that_is_switched_off(model: WriteModel) -> None:
    """With decode_input off every value is bytes."""
    answer = one(ECHO, model, job_record(7, b"{", "application/json", parts=[("p", "text/plain", b"\xff")]), decode_input=False)
    assert json.loads(answer.body)["shown"] == {"p": ["bytearray", "\xff"], "body": ["bytearray", "{"]}


@pytest.mark.parametrize(
    ("content_type", "body"),
    [("application/json", b""), ("application/json", b'{"a": '), ("application/json", b"[" * 100_000), ("text/plain", b"\xff\xfe")],
)
def test_input_that_cannot_be_decoded_fails_alone(model: WriteModel, content_type: str, body: bytes) -> None:
    """It is the client's failure, told to this client; the rest of the batch and the worker go on."""
    records = [job_record(1, b"1", "application/json"), job_record(2, body, content_type), job_record(3, b"3", "application/json")]
    outcome = ask(model(ECHO), *records, batch_size=3)
    failed, *rest = sorted(outcome.answers, key=lambda answer: not answer.failed)
    assert (failed.seq, failed.code) == (2, ErrorCode.INVALID_REQUEST)
    assert failed.phrase.startswith("The body is not valid ")
    assert [(answer.seq, answer.failed) for answer in rest] == [(1, False), (3, False)]


@pytest.mark.parametrize(
    ("expression", "body"),
    [
        ("[b'bytes']", b"bytes"),
        ("[bytearray(b'array')]", b"array"),
        ("['t\\u00e9xt']", "téxt".encode()),
        ("[None]", b"null"),
        ("[5]", b"5"),
        ("[True]", b"true"),
        ("[{}]", b"{}"),
        ("[[1, 2]]", b"[\n  1,\n  2\n]"),
        ("[{'b': '\\u00e9', 'a': (1,)}]", b'{\n  "b": "\\u00e9",\n  "a": [\n    1\n  ]\n}'),
        ("type('L', (list,), {})(['sub'])", b"sub"),
    ],
)
def test_result_becomes_a_body(model: WriteModel, expression: str, body: bytes) -> None:
    """Bytes as they are, text as UTF-8, all else as indented ASCII JSON; status 200, no phrase, no header."""
    answer = one(returning(expression), model)
    assert (answer.failed, answer.status, answer.phrase, answer.headers, answer.body, answer.last) == (False, 200, "", b"", body, True)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("'text'", "Invalid model predict output"),
        ("('a',)", "Invalid model predict output"),
        ("None", "Invalid model predict output"),
        ("{0: 'a'}", "Invalid model predict output"),
        ("[]", "number of batch response mismatched"),
        ("['a', 'b']", "number of batch response mismatched"),
        ("[object()]", "Unsupported model output data type."),
        ("[{('a',): 1}]", "Unsupported model output data type."),
        ("[float]", "Unsupported model output data type."),
        ("['\\ud800']", "Unsupported model output data type."),
    ],
)
def test_result_that_is_no_answer(model: WriteModel, expression: str, message: str) -> None:
    """What is not a list of the right length, or cannot be written, fails with the words of the old server."""
    answer = one(returning(expression), model)
    assert (answer.failed, answer.code, answer.phrase) == (True, ErrorCode.BAD_OUTPUT, message)


@pytest.mark.parametrize(
    ("raised", "code", "status", "message"),
    [
        ("PredictionException('no', 404)", ErrorCode.HANDLER_STATUS, 404, "no"),
        ("PredictionException('no')", ErrorCode.HANDLER_STATUS, 500, "no"),
        ("PredictionException('no', '513')", ErrorCode.HANDLER_STATUS, 513, "no"),
        ("PredictionException(5, 444)", ErrorCode.HANDLER_STATUS, 444, "5"),
        ("MemoryError('big')", ErrorCode.OUT_OF_MEMORY, 0, "Out of resources"),
        ("RuntimeError('secret')", ErrorCode.HANDLER_FAILED, 0, "Prediction failed"),
        ("StopIteration()", ErrorCode.HANDLER_FAILED, 0, "Prediction failed"),
        ("InvalidInput('too long')", ErrorCode.INVALID_REQUEST, 0, "too long"),
    ],
)
def test_exception_becomes_a_failure(
    model: WriteModel, raised: str, code: ErrorCode, status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each kind has its code; the text of an ordinary exception is for the log alone, where its traceback stands once."""
    answer = one(returning("[]", f"raise {raised}"), model)
    assert (answer.failed, answer.code, answer.status, answer.phrase) == (True, code, status, message)
    assert capsys.readouterr().err.count("Traceback") == (code in (ErrorCode.HANDLER_FAILED, ErrorCode.OUT_OF_MEMORY))


def test_prediction_exception_of_an_impossible_status_is_bad_output(model: WriteModel) -> None:
    """The client gets a well-formed failure whatever number the handler chose."""
    answer = one(returning("[]", "raise PredictionException('no', 12345)"), model)
    assert (answer.failed, answer.code) == (True, ErrorCode.BAD_OUTPUT)


def test_prediction_exception_of_code_200_is_an_answer(model: WriteModel) -> None:
    """Odd, but clients of the old server know it: status 200 and the word error."""
    answer = one(returning("[]", "raise PredictionException('no', 200)"), model)
    assert (answer.failed, answer.status, answer.body) == (False, 200, b"error")


def test_traceback_shows_the_handler_and_not_the_server(model: WriteModel) -> None:
    """The detail of a failure names the line of the handler, and no line of ours."""
    answer = one(returning("[]", "raise RuntimeError('secret')"), model)
    detail = answer.headers.decode()
    assert "svc.py" in detail
    assert "RuntimeError: secret" in detail
    assert "batch.py" not in detail


@pytest.mark.parametrize("error_detail", ["message", "traceback"])
def test_message_names_the_exception_when_asked(model: WriteModel, error_detail: str) -> None:
    """With error_detail the client may see what was raised."""
    answer = one(returning("[]", "raise RuntimeError('told\\nhere')"), model, error_detail=error_detail)
    assert answer.phrase == "Prediction failed: RuntimeError: told here"


def test_exception_at_an_index_fails_that_item_alone(model: WriteModel) -> None:
    """A list may hold an exception in place of a result."""
    source = returning("[ValueError('bad') if item['body'] == b'2' else 'ok' for item in data]")
    outcome = ask(model(source), *(job_record(seq, str(seq).encode()) for seq in (1, 2, 3)), batch_size=3)
    assert [(answer.seq, answer.failed) for answer in outcome.answers] == [(1, False), (2, True), (3, False)]


POISON = """
import sys
calls = []
def handle(data, context):
    if data is None:
        return None
    calls.append(len(data))
    for index, item in enumerate(data):
        context.set_response_header(index, "X-Call", str(len(calls)))
        context.set_response_status(201, "Made", index)
        context.metrics.add_counter("Calls", 1, index)
    for item in data:
        if item.pop("body") == b"poison":
            raise ValueError("poison")
    return [str(calls)] * len(data)
"""


def test_batch_is_halved_until_the_poison_stands_alone(model: WriteModel) -> None:
    """Only the item that cannot be served fails; headers, status and metrics of the others are those of the call that served them."""
    bodies = [b"a", b"b", b"poison", b"d", b"e"]
    outcome = ask(model(POISON), *(job_record(seq, body) for seq, body in enumerate(bodies)), batch_size=5)
    assert [answer.seq for answer in outcome.answers if answer.failed] == [2]
    good = [answer for answer in outcome.answers if not answer.failed]
    assert [(answer.seq, answer.headers, answer.status, answer.phrase) for answer in good] == [
        (0, b"X-Call\x002", 201, "Made"),
        (1, b"X-Call\x002", 201, "Made"),
        (3, b"X-Call\x005", 201, "Made"),
        (4, b"X-Call\x005", 201, "Made"),
    ]


def test_request_ids_are_those_of_the_half(model: WriteModel) -> None:
    """Whatever the size of the call, index and id belong together."""
    source = returning("[context.get_request_id(i) for i in range(len(data))]", "assert not [d for d in data if d['body'] == b'p']")
    records = [job_record(seq, b"p" if seq == 1 else b"x") for seq in (1, 2, 3)]
    outcome = ask(model(source), *records, batch_size=3)
    assert [(answer.seq, answer.body) for answer in outcome.answers if not answer.failed] == [(2, b"id-2"), (3, b"id-3")]


@pytest.mark.parametrize(
    ("call", "status", "phrase", "headers"),
    [
        ("context.set_response_status(201, 'Made')", 201, "Made", b""),
        ("context.set_response_status(code=http.HTTPStatus.CREATED)", 201, "", b""),
        ("context.set_response_status('404')", 404, "", b""),
        ("context.set_response_status(418, None)", 418, "", b""),
        ("context.set_all_response_status(777, 'Odd')", 777, "Odd", b""),
        ("context.request_processor[0].report_status(400, 'No')", 400, "No", b""),
        ("context.set_response_content_type(0, 'a/b')", 200, "", b"content-type\x00a/b"),
        ("context.set_response_content_type(0, '')", 200, "", b"content-type\x00"),
        ("context.set_response_header(0, 'X-N', 5)", 200, "", b"X-N\x005"),
        ("context.set_response_header(0, 'X-B', b'\\xe9')", 200, "", "X-B\x00é".encode()),
        ("context.request_processor[0].add_response_property('X-P', 'v')", 200, "", b"X-P\x00v"),
    ],
)
def test_status_and_headers_of_an_answer(model: WriteModel, call: str, status: int, phrase: str, headers: bytes) -> None:
    """What was set arrives; numbers and bytes become text."""
    answer = one(returning("['x']", call), model)
    assert (answer.failed, answer.status, answer.phrase, answer.headers) == (False, status, phrase, headers)


@pytest.mark.parametrize(
    "call",
    [
        "context.set_response_status(99)",
        "context.set_response_status(70000)",
        "context.set_response_status('many')",
        "context.set_response_status(None)",
        "context.set_response_status(200, 'a\\r\\nb')",
        "context.set_response_status(200, ['a'])",
        "context.set_response_header(0, 'X', 'a\\nInjected: b')",
        "context.set_response_header(0, 'X', 'a\\x00b')",
        "context.set_response_header(0, 'X Y', 'v')",
        "context.set_response_header(0, '', 'v')",
        "context.set_response_header(0, 'X', ['v'])",
        "context.set_response_header(0, 'X', None)",
    ],
)
def test_answer_that_http_cannot_carry_fails_alone(model: WriteModel, call: str) -> None:
    """An impossible status, phrase or header is a failure of that item that says what was wrong; the worker lives."""
    outcome = ask(model(returning("['x'] * len(data)", call)), job_record(1), job_record(2), batch_size=2)
    first, second = outcome.answers
    assert (first.failed, first.code) == (True, ErrorCode.BAD_OUTPUT)
    assert first.phrase.startswith("The handler set ")
    assert not second.failed


def test_answer_larger_than_allowed_names_limit_and_setting(model: WriteModel) -> None:
    """An oversized body is a failure of that item, not of the worker."""
    answer = one(returning("['x' * 101]"), model, max_response_size=100)
    assert (answer.code, answer.phrase) == (
        ErrorCode.BAD_OUTPUT,
        "The response of 101 bytes is larger than 100 bytes; raise max_response_size to allow it",
    )
    assert not one(returning("['x' * 100]"), model, max_response_size=100).failed


def test_context_shows_the_request(model: WriteModel) -> None:
    """Ids, headers as the client wrote them, and properties are there; a name in other letters is another name."""
    source = returning(
        "[[context.get_request_id(), context.get_request_header(0, 'X-One'), context.get_request_header(0, 'x-one'),"
        " context.model_name, context.manifest, context.system_properties, context.request_ids, type(context.request_processor).__name__,"
        " len(context.request_processor)]]"
    )
    folder = model(source)
    record = job_record(7, b"", id="given", headers=[("X-One", "1"), ("X-One", "2")])
    (answer,) = ask(folder, record, manifest={"m": 1}, gpu_id=3, batch_size=4).answers
    properties = {"model_dir": str(folder), "gpu_id": 3, "batch_size": 4, "server_name": "MMS", "server_version": "1.1.11"}
    assert json.loads(answer.body) == ["given", "2", None, folder.name, {"m": 1}, properties, {"0": "given"}, "list", 1]


def test_load_call_has_no_request(model: WriteModel) -> None:
    """A function is called once with None before any request, with neither ids nor processors."""
    source = """
        seen = []
        def handle(data, context):
            if data is None:
                seen.append([context.request_ids, context.request_processor, context.get_request_id(), context.metrics is None])
                return "ignored"
            return [seen]
    """
    assert json.loads(one(source, model).body) == [[None, None, None, False]]


def test_metrics_are_sent_once_for_each_batch_that_recorded_any(model: WriteModel) -> None:
    """Load time first; then each batch with its ids; nothing for a batch that recorded none."""
    source = """
        def handle(data, context):
            if data is None:
                context.metrics.add_time("Load", 1.5)
                return None
            if data[0]["body"] == b"count":
                context.metrics.add_counter("Seen", len(data))
            return ["ok"] * len(data)
    """
    records = [job_record(1, b"count"), job_record(2, b"count"), job_record(3, b"quiet"), job_record(4)]
    outcome = ask(model(source), *records, batch_size=2)
    assert [line.partition("|")[0] for line in outcome.metrics] == ["Load.Milliseconds:1.5", "Seen.Count:2"]
    assert ",requestID:id-1,id-2,timestamp:" in outcome.metrics[1]


def test_jobs_of_a_frame_run_in_batches_in_order(model: WriteModel) -> None:
    """No batch is larger than the batch size."""
    source = returning("[str(len(data))] * len(data)")
    outcome = ask(model(source), *(job_record(seq) for seq in range(7)), batch_size=3)
    assert [(answer.seq, answer.body) for answer in outcome.answers] == [
        *((seq, b"3") for seq in range(6)),
        (6, b"1"),
    ]


def test_cancelled_jobs_do_not_reach_the_handler(model: WriteModel) -> None:
    """They are answered as cancelled, and their place in the batch goes to another."""
    source = returning("[str([d['body'].decode() for d in data])] * len(data)")
    records = [job_record(seq, str(seq).encode()) for seq in (1, 2, 3)]
    _, outcome = run_worker(load_frame(model(source), "svc", batch_size=2), jobs_frame(*records), cancelled=[2])
    assert sorted((answer.seq, answer.code, answer.body) for answer in outcome.answers) == [
        (1, 0, b"['1', '3']"),
        (2, ErrorCode.CANCELLED, b""),
        (3, 0, b"['1', '3']"),
    ]


def test_job_whose_deadline_passed_behind_another_is_not_started(model: WriteModel) -> None:
    """A deadline counts from the arrival of the frame."""
    source = """
        import time
        def handle(data, context):
            if data is None:
                return None
            end = time.perf_counter() + 0.01
            while time.perf_counter() < end:
                pass
            return ["ran"]
    """
    outcome = ask(model(source), job_record(1, timeout_ms=5), job_record(2, timeout_ms=5), job_record(3))
    assert [(answer.seq, answer.code) for answer in outcome.answers] == [(1, 0), (2, ErrorCode.DEADLINE_EXCEEDED), (3, 0)]


def test_arena_body_is_private_bytes(model: WriteModel) -> None:
    """A body in the arena reaches an old handler as a bytearray of its own."""
    frames = (load_frame(model(ECHO), "svc"), jobs_frame(job_record(7, arena=(2, 3), content_type="application/x")))
    _, outcome = run_worker(*frames, arena=memoryview(b"__abc__"))
    assert json.loads(outcome.answers[0].body)["shown"] == {"body": ["bytearray", "abc"]}


def test_arena_body_outside_the_arena_breaks_the_link(model: WriteModel) -> None:
    """The server would be mad; the worker ends."""
    status, _ = run_worker(load_frame(model(ECHO), "svc"), jobs_frame(job_record(7, arena=(2, 30))), arena=memoryview(b"__abc__"))
    assert status == 3


WILD = """
class Wild:
    def raising(self, *_):
        raise RuntimeError("wild")
    __repr__ = __str__ = __eq__ = __hash__ = __bool__ = __len__ = raising

class WildError(Exception):
    def __str__(self):
        raise RuntimeError("wild")

class WildDict(dict):
    def items(self):
        raise MemoryError

def handle(data, context):
    if data is None:
        return None
    {0}
    return ["fine"]
"""


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("context.set_response_status(Wild())", ErrorCode.BAD_OUTPUT),
        ("context.set_response_status(200, Wild())", ErrorCode.BAD_OUTPUT),
        ("context.set_response_header(0, 'x', Wild())", ErrorCode.BAD_OUTPUT),
        ("context.set_response_header(0, '\\ud800', 'x')", ErrorCode.BAD_OUTPUT),
        ("context.set_response_header(0, 'x', '\\ud800')", ErrorCode.BAD_OUTPUT),
        ("raise WildError", ErrorCode.HANDLER_FAILED),
        ("return [WildError()]", ErrorCode.HANDLER_FAILED),
        ("return [Wild()]", ErrorCode.BAD_OUTPUT),
        ("return [WildDict(a=1)]", ErrorCode.OUT_OF_MEMORY),
        ("return [10**5000]", ErrorCode.BAD_OUTPUT),
        ("context.metrics.add_time('t', Wild())", 0),
        ("context.metrics.store = 5", 0),
        ("context.metrics = None", 0),
        ("context.request_processor = None", 0),
    ],
)
def test_nothing_that_a_handler_does_with_its_context_kills_the_worker(model: WriteModel, statement: str, code: int) -> None:
    """Its own classes may raise wherever they are looked at; the next job is served."""
    folder = model(WILD.replace("{0}", "if data[0]['body'] == b'wild':\n        " + statement))
    outcome = ask(folder, job_record(1, b"wild"), job_record(2))
    assert [(answer.seq, answer.code) for answer in outcome.answers] == [(1, code), (2, 0)]


def test_what_threads_of_a_handler_set_comes_to_one_request(model: WriteModel) -> None:
    """Whoever asks for the request first: all see the same one, and what each has set is in the answer."""
    answer = one(returning('["ok"]', """import threading
    gate = threading.Barrier(4)
    def work(i):
        gate.wait()
        context.set_response_header(0, "x-%d" % i, "1")
    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()"""), model)
    assert sorted(wire.read_headers(answer.headers)) == [(f"x-{number}", "1") for number in range(4)]


class _SlowInputs(Inputs):
    """Makes the request of the first job only when `go_on` is set."""

    def __init__(self) -> None:
        super().__init__(decode=True)
        self.asked, self.go_on = threading.Event(), threading.Event()

    def request(self, job: wire.Job) -> JobRequest:
        if job.seq == 1:
            self.asked.set()
            assert self.go_on.wait(30)
        return super().request(job)


def test_a_thread_that_outlives_its_job() -> None:
    """It asked for the request of its job when that was nearly over: what the next handler sees and sets is of the next job all the same."""
    inputs, context, threads = _SlowInputs(), Context("m", "d", None, 1, None, "v"), list[threading.Thread]()

    def handle(data: list[dict[str, Any]], _: object) -> list[Any]:
        if not threads:
            threads.append(threading.Thread(target=context.get_request_header, args=(0, "H")))
            threads[0].start()
            assert inputs.asked.wait(30)
        else:
            inputs.go_on.set()
            threads[0].join()
            context.set_response_header(0, "of", context.get_request_header(0, "H"))
        return ["done"]

    ours, theirs = socket.socketpair()
    with ours, theirs:
        link = Link(theirs, memoryview(bytearray(wire.ROOM_OFFSET)))
        batches = Batches(Entry("function", handle), context, inputs, link, 0, "none", Running())
        records = b"".join(job_record(seq, b"x", headers=[("H", str(seq))]) for seq in (1, 2))
        for job in wire.read_jobs(memoryview(records), 2):
            batches.run_one(job)
        link.flush()
        answers = wire.read_answers(ours.recv(10_000)[wire.HEADER.size :])
    assert [(answer.seq, answer.headers, answer.body) for answer in answers] == [(1, b"", b"done"), (2, b"of\x002", b"done")]


def test_a_list_of_requests_that_a_handler_empties_is_its_own(model: WriteModel) -> None:
    """What was set before counts, and the job is answered."""
    answer = one(returning('["ok"]', 'context.set_response_status(202, "Later"); context.request_processor.clear()'), model)
    assert (answer.status, answer.phrase, answer.body) == (202, "Later", b"ok")


def test_each_job_has_a_request_of_its_own(model: WriteModel) -> None:
    """Whether or not the handler asked for the one before; what was set for one job is not in the answer to the next."""
    source = """
        def handle(data, context):
            if data is None:
                return None
            body = bytes(data[0]["body"])
            if body != b"silent":
                context.set_response_header(0, body.decode(), context.get_request_header(0, "H"))
            return [body]
    """
    records = [job_record(seq, body, headers=[("H", str(seq))]) for seq, body in enumerate((b"a", b"silent", b"b", b"silent", b"silent", b"c"), 1)]
    answers = ask(model(source), *records).answers
    assert [wire.read_headers(answer.headers) for answer in answers] == [[("a", "1")], [], [("b", "3")], [], [], [("c", "6")]]
