"""Files of settings: what they may say, and that every mistake is told with its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from argosy.errors import ArgosyError, ErrorCode
from argosy.sagemaker.local.settings import AsyncSettings, ContainerSettings, EndpointSettings, Serverless, VariantSettings
from argosy.sagemaker.local.settings_file import read_file

WHOLE = """
port = 9000
storage = "s3"
allow_unsigned = true

[[endpoints]]
name = "short"
model_data = "model.tar.gz"
env = { THREADS = 2 }
async = { output = "s3://b/out", max_concurrent = 2 }

[[endpoints]]
name = "ab"

[[endpoints.variants]]
name = "blue"
weight = 3
image = "one"
serverless = { max_concurrency = 7 }

[[endpoints.variants]]
name = "green"
instances = 2
direct = true
startup_timeout_s = 5
containers = [{ hostname = "x", image = "two" }, { command = ["python", "s.py"], model_data = "s3://b/m.tar.gz" }]

[[endpoints]]
name = "parts"
components = [{ name = "left", image = "three", multi_model = true, model_data = "models" }]
"""


def test_a_whole_file(tmp_path: Path) -> None:
    """Several endpoints in all forms; paths count from the file's folder."""
    (tmp_path / "e.toml").write_text(WHOLE)
    found = read_file(tmp_path / "e.toml")
    assert (found.port, found.storage, found.allow_unsigned) == (9000, str(tmp_path / "s3"), True)
    assert found.endpoints == (
        EndpointSettings(
            "short", (VariantSettings(containers=(ContainerSettings(str(tmp_path / "model.tar.gz"), env={"THREADS": "2"}),)),),
            queue=AsyncSettings("s3://b/out", max_concurrent=2)),
        EndpointSettings("ab", (
            VariantSettings("blue", (ContainerSettings(image="one"),), 3, serverless=Serverless(7)),
            VariantSettings("green", (
                ContainerSettings(image="two", hostname="x"), ContainerSettings("s3://b/m.tar.gz", command=("python", "s.py")),
            ), instances=2, direct=True, startup_timeout_s=5),
        )),
        EndpointSettings("parts", components=(
            VariantSettings("left", (ContainerSettings(str(tmp_path / "models"), "three", multi_model=True),)),)),
    )  # fmt: skip


def test_json_says_the_same(tmp_path: Path) -> None:
    """By the name of the file."""
    (tmp_path / "e.json").write_text(json.dumps({"endpoints": [{"name": "e", "image": "i"}]}))
    assert read_file(tmp_path / "e.json").endpoints == (EndpointSettings("e", (VariantSettings(containers=(ContainerSettings(image="i"),)),)),)


def test_variables_are_written_as_in_the_file(tmp_path: Path) -> None:
    """Numbers and truth values as TOML and JSON spell them, not as Python does."""
    (tmp_path / "e.toml").write_text('endpoints = [{ name = "e", image = "i", command = ["x", 1], env = { A = true, B = 1.5, C = "", D = "t" } }]')
    container = read_file(tmp_path / "e.toml").endpoints[0].variants[0].containers[0]
    assert (container.command, container.env) == (("x", "1"), {"A": "true", "B": "1.5", "C": "", "D": "t"})


@pytest.mark.parametrize(("text", "words"), [
    ("{", "is no JSON"),
    ("[" * 100_000, "is nested too deep"),
    ("[]", "a table is needed"),
    ("{}", "no endpoint"),
    ('{"endpoints": {}}', "endpoints must be a list"),
    ('{"endpoints": [{}]}', "endpoints[0]: an endpoint needs a name"),
    ('{"endpoints": [3]}', "endpoints[0]"),
    ('{"endpoints": [{"name": "e", "imagee": "i"}]}', "endpoints[0] (e): imagee is unknown"),
    ('{"endpoints": [{"name": "e", "image": 3}]}', "image must be a text, not 3"),
    ('{"endpoints": [{"name": "e", "image": "i", "instances": true}]}', "instances must be a whole number"),
    ('{"endpoints": [{"name": "e", "image": "i", "weight": "3"}]}', "weight must be a number"),
    ('{"endpoints": [{"name": "e", "image": "i", "async": {}}]}', "async needs output"),
    ('{"endpoints": [{"name": "e", "image": "i", "containers": []}]}', "image belongs into one of its containers"),
    ('{"endpoints": [{"name": "e", "variants": [{"name": "v", "image": "i", "x": 1}]}]}', "variants[0]: x is unknown"),
    ('{"endpoints": [{"name": "e", "variants": [], "image": "i"}]}', "image is unknown"),
    ('{"endpoints": [{"name": "e", "image": "i", "weight": NaN}]}', "weight must be at least 0"),
    ('{"endpoints": [{"name": "e", "image": "i", "startup_timeout_s": 0}]}', "startup_timeout_s must be more than 0"),
    ('{"endpoints": [{"name": "e", "image": "i", "env": {"A": {"B": 1}}}]}', "endpoints[0] (e): env.A must be a text without"),
    ('{"endpoints": [{"name": "e", "image": "i", "env": {"A": null}}]}', "env.A must be a text without"),
    ('{"endpoints": [{"name": "e", "image": "i", "env": {"A": "x\\u0000"}}]}', "env.A must be a text without zero characters"),
    ('{"endpoints": [{"name": "e", "image": "i", "env": {"A=B": "x"}}]}', "env has 'A=B', which is no name of a variable"),
    ('{"endpoints": [{"name": "e", "image": "i", "env": {"": "x"}}]}', "env has ''"),
    ('{"endpoints": [{"name": "e", "image": "i", "command": ["a", ["b"]]}]}', "endpoints[0] (e): command[1] must be a text"),
    ('{"port": 70000, "endpoints": [{"name": "e", "image": "i"}]}', "port must be"),
])  # fmt: skip
def test_mistakes_are_told_with_their_place(tmp_path: Path, text: str, words: str) -> None:
    """As a wrong configuration."""
    (tmp_path / "e.json").write_text(text)
    with pytest.raises(ArgosyError) as caught:
        read_file(tmp_path / "e.json")
    assert caught.value.code is ErrorCode.INVALID_CONFIG
    assert words in caught.value.message


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """With the reason; and so is one that is no TOML."""
    with pytest.raises(ArgosyError, match=r"cannot read .*none\.toml: No such file"):
        read_file(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("= 3")
    with pytest.raises(ArgosyError, match=r"bad\.toml is no TOML"):
        read_file(tmp_path / "bad.toml")
