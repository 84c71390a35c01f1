"""`import mms` in a worker: stand-ins that cost nothing until they are wanted, and step back for a model's own package."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from argosy import handler
from argosy.testing.worker import Outcome, job_record, jobs_frame, load_frame, run_worker
from argosy.worker import compat, legacy, meters

WriteModel = Callable[..., Path]
STUBS = {
    "mxnet/__init__.py": """
        __version__ = "0.0"
        class Any(object):
            def __init__(self, name="mx"):
                self.name = name
            def __getattr__(self, name):
                if name.startswith("__"):
                    raise AttributeError(name)
                return Any(self.name + "." + name)
            def __call__(self, *args, **kwargs):
                return Any(self.name + "()")
        class model(object):
            load_checkpoint = staticmethod(lambda prefix, epoch: (prefix, epoch, None))
        cpu = gpu = nd = mod = img = Any()
    """,
    "mxnet/image.py": "from mxnet import Any\nimdecode = imresize = fixed_crop = color_normalize = Any()\n",
    "mxnet/io.py": "from mxnet import Any\nDataBatch = DataDesc = Any()\n",
}
SIGNATURE = {"inputs": [{"data_name": "picture", "data_shape": [0, 3, 4, 4]}], "input_type": "image/jpeg"}


@pytest.fixture
def shims(model: WriteModel, monkeypatch: pytest.MonkeyPatch) -> Iterator[WriteModel]:
    """The finder is installed, and nothing of `mms` is loaded before or after."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    for name in [name for name in sys.modules if name.partition(".")[0] in ("mms", "mxnet")]:
        monkeypatch.delitem(sys.modules, name)
    compat.install()
    compat.install()
    yield model
    for name in [name for name in sys.modules if name.partition(".")[0] in ("mms", "mxnet")]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("module", "name", "thing"),
    [
        ("mms.service", "PredictionException", handler.PredictionException),
        ("mms.service", "emit_metrics", meters.emit_metrics),
        ("mms.context", "Context", handler.Context),
        ("mms.context", "RequestProcessor", handler.RequestProcessor),
        ("mms.metrics.dimension", "Dimension", meters.Dimension),
        ("mms.metrics.metric", "Metric", meters.Metric),
        ("mms.metrics.metric_encoder", "MetricEncoder", meters.MetricEncoder),
        ("mms.metrics.metrics_store", "MetricsStore", meters.MetricsStore),
        ("mms.metrics.unit", "Units", meters.Units),
        ("mms.model_service.model_service", "SingleNodeService", legacy.SingleNodeService),
        ("mms.model_service.mxnet_model_service", "SingleNodeService", legacy.SingleNodeService),
    ],
)
def test_public_names_of_the_old_package(shims: WriteModel, module: str, name: str, thing: object) -> None:
    """Each path that model code imports leads to the thing that the worker itself uses."""
    assert getattr(importlib.import_module(module), name) is thing


def test_version_is_the_one_we_answer_for(shims: WriteModel) -> None:
    """`mms.__version__` and what the context says agree."""
    assert importlib.import_module("mms").__version__ == "1.1.11"


def test_finder_is_installed_once(shims: WriteModel) -> None:
    """Calling it again changes nothing, and other packages are none of its business."""
    finders = [finder for finder in sys.meta_path if isinstance(finder, compat.ShimFinder)]
    assert len(finders) == 1
    assert finders[0].find_spec("json") is None


def test_package_of_the_model_wins(shims: WriteModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that brings its own `mms` gets its own."""
    shims("OWN = True\n", "mms.py")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", str(tmp_path)]))
    monkeypatch.syspath_prepend(tmp_path)
    assert importlib.import_module("mms").OWN


def test_decorator_measures(shims: WriteModel, capsys: pytest.CaptureFixture[str]) -> None:
    """`timeit` prints and passes the result on."""
    timeit = importlib.import_module("mms.utils.timeit_decorator").timeit
    assert timeit(len)("abc") == 3
    assert capsys.readouterr().out.startswith("func: 'len' took")


def test_system_metrics_are_collected(shims: WriteModel) -> None:
    """Each of the seven figures once."""
    module = importlib.import_module("mms.metrics.system_metrics")
    module.collect_all(module)
    names = {metric.name for metric in module.system_metrics}
    assert names == {
        "CPUUtilization", "DiskAvailable", "DiskUsage", "DiskUtilization", "MemoryAvailable", "MemoryUsed", "MemoryUtilization",
    }  # fmt: skip


def old_model(shims: WriteModel, source: str, stubs: bool = True) -> Path:
    """A folder of the 0.x generation."""
    folder = shims(source, "old_service.py")
    for name, text in STUBS.items() if stubs else ():
        (folder / name).parent.mkdir(exist_ok=True)
        shims(text, name)
    described = {"Service": "old_service.py", "Signature": "signature.json", "Symbol": "old-symbol.json", "Parameters": "old-0003.params"}
    (folder / "MANIFEST.json").write_text(json.dumps({"Engine": {"MXNet": 1.0}, "Model": described}))
    (folder / "signature.json").write_text(json.dumps(SIGNATURE))
    return folder


def serve(folder: Path, *records: bytes, **order: object) -> Outcome:
    """What the old service answers."""
    return run_worker(load_frame(folder, "old_service.py", **order), jobs_frame(*records))[1]


OLD = """
from mms.model_service.mxnet_model_service import SingleNodeService

class OldService(SingleNodeService):
    def _preprocess(self, data):
        return [bytes(data[0]).decode()]
    def _inference(self, data):
        return "seen:" + data[0]
"""


@pytest.mark.parametrize("stubs", [True, False])
@pytest.mark.parametrize(
    ("record", "body"),
    [
        (job_record(1, None, parts=[("picture", "", b"pixels"), ("data", "", b"no")]), b"seen:pixels"),
        (job_record(1, b"raw"), b"seen:raw"),
        (job_record(1, None, parts=[("data", "", b"d")]), b"seen:d"),
    ],
)
def test_old_service_takes_its_first_input(shims: WriteModel, stubs: bool, record: bytes, body: bytes) -> None:
    """The parameter that the signature names, else body, else data; MXNet is not needed for a service that does not use it."""
    outcome = serve(old_model(shims, OLD, stubs), record)
    assert (outcome.loaded["ok"], outcome.loaded["style"]) == (True, "legacy"), outcome.loaded
    assert outcome.answers[0].body == body


def test_old_service_answers_every_request_of_a_batch(shims: WriteModel) -> None:
    """It knows one request at a time, so it is asked for each; one that gives too much fails alone."""
    folder = old_model(shims, OLD + "    def _postprocess(self, data):\n        return [data, data] if data == 'seen:b' else [data]\n")
    answers = serve(folder, job_record(1, b"a"), job_record(2, b"b"), job_record(3, b"c"), batch_size=3).answers
    assert [(answer.failed, answer.body) for answer in answers] == [(False, b"seen:a"), (True, b""), (False, b"seen:c")]


def test_old_service_reads_literals_when_its_input_is_json(shims: WriteModel) -> None:
    """Bytes are read as a Python literal, as they were."""
    folder = old_model(shims, OLD.replace("bytes(data[0]).decode()", "str(data[0]['a'])"))
    (folder / "signature.json").write_text(json.dumps({**SIGNATURE, "input_type": "application/json"}))
    assert serve(folder, job_record(1, b"{'a': 1}")).answers[0].body == b"seen:1"


def test_manifest_of_the_server_is_used_if_it_is_the_old_one(shims: WriteModel) -> None:
    """The context keeps it."""
    folder = old_model(shims, OLD)
    (folder / "other.json").write_text(json.dumps(SIGNATURE))
    (folder / "signature.json").unlink()
    assert serve(folder, job_record(1, b"x"), manifest={"Model": {"Signature": "other.json"}}).answers[0].body == b"seen:x"


def test_missing_signature_fails_the_load(shims: WriteModel) -> None:
    """The message names the file."""
    folder = old_model(shims, OLD)
    (folder / "signature.json").unlink()
    assert "Signature file is not found" in serve(folder).loaded["message"]


@pytest.mark.parametrize(
    ("base", "module"),
    [
        ("MXNetBaseService", "mxnet_model_service"),
        ("MXNetVisionService", "mxnet_vision_service"),
        ("GluonImperativeBaseService", "mxnet_model_service"),
        ("GluonVisionService", "gluon_vision_service"),
    ],
)
def test_mxnet_services_load(shims: WriteModel, base: str, module: str) -> None:
    """With a stand-in for MXNet each base class can be made and asked."""
    source = f"from mms.model_service.{module} import {base}\nclass Old({base}):\n    def inference(self, data):\n        return [self.ping()]\n"
    outcome = serve(old_model(shims, source), job_record(1, b"x"))
    assert outcome.loaded["ok"], outcome.loaded
    assert outcome.answers[0].body == b"0.0"


def test_mxnet_service_without_mxnet_says_so(shims: WriteModel) -> None:
    """The hint is the command that installs it."""
    source = "from mms.model_service.mxnet_model_service import MXNetBaseService\nclass Old(MXNetBaseService):\n    pass\n"
    loaded = serve(old_model(shims, source, stubs=False)).loaded
    assert "-m pip install mxnet" in loaded["hint"]


def test_shape_of_inputs_is_checked(shims: WriteModel) -> None:
    """A zero, and the batch dimension, fit anything."""
    check = importlib.import_module("mms.model_service.mxnet_model_service").check_input_shape

    class Array:
        def __init__(self, *shape: int) -> None:
            self.shape = shape

    check([Array(7, 3, 4, 4)], SIGNATURE)
    for wrong in ([Array(7, 3, 4, 5)], [Array(3, 4, 4)], [], None):
        with pytest.raises(ValueError, match="signature"):
            check(wrong, SIGNATURE)


def test_sentences_become_numbers(shims: WriteModel) -> None:
    """A new vocabulary grows; a given one marks unknown words."""
    old_model(shims, "")
    sys.path.insert(0, str(old_model(shims, "")))
    nlp = importlib.import_module("mms.utils.mxnet.nlp")
    coded, vocabulary = nlp.encode_sentences([["a", "b"], ["b"]])
    assert (coded, vocabulary) == ([[0, 1], [1]], {"\n": -1, "a": 0, "b": 1})
    assert nlp.encode_sentences([["a", "z"]], {"a": 5})[0] == [[5, -1]]
    assert nlp.encode_sentences([["a", "b"]], invalid_label=1)[1]["b"] == 2
    with pytest.raises(IndexError):
        nlp.pad_sentence([1, 2, 3], [2])


def test_images_refuse_unknown_orders(shims: WriteModel) -> None:
    """An order of dimensions that is none is an error, not a guess."""
    sys.path.insert(0, str(old_model(shims, "")))
    image = importlib.import_module("mms.utils.mxnet.image")
    with pytest.raises(ValueError, match="dim_order"):
        image.transform_shape(None, "CHWN")
    with pytest.raises(ValueError, match="dim_order"):
        image.write(None, dim_order="WHC")
