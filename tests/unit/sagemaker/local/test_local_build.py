"""What an endpoint is made of: folders, models, names, logs and the command lines of its containers, each of which tells its own and ends."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from argosy.errors import ArgosyError, ErrorCode
from argosy.sagemaker.local.build import Workshop
from argosy.sagemaker.local.endpoint import Endpoint
from argosy.sagemaker.local.engine import Engine
from argosy.sagemaker.local.leftovers import Ledger
from argosy.sagemaker.local.models import ModelSource
from argosy.sagemaker.local.pool import Instance
from argosy.sagemaker.local.settings import ContainerSettings, EndpointSettings, RuntimeSettings, VariantSettings, invalid
from argosy.sagemaker.local.storage import FolderStorage

TELLS = ("sh", "-c", 'echo "$PWD {port} {model} $SAGEMAKER_BIND_TO_PORT $AWS_REGION $OURS"')
"""A process that tells how it was started."""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with a handler."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "handler.py").write_text("def predict(text: str):\n    return text\n")
    return tmp_path / "model"


@pytest.fixture
def workshop(tmp_path: Path) -> Iterator[Workshop]:
    """One whose engine shows its command line, with a folder in place of S3."""
    ledger = Ledger(tmp_path)
    some = EndpointSettings("e", (VariantSettings(containers=(ContainerSettings("m"),)),))
    settings = RuntimeSettings((some,), region="eu-west-1", account="123456789012")
    source = ModelSource(FolderStorage(tmp_path / "s3"))
    yield Workshop(settings, source, lambda: Engine(("echo",), "publish"), ledger, tmp_path / "logs", "F00D", None)
    ledger.close()


def built(workshop: Workshop, *containers: ContainerSettings, instances: int = 1) -> Endpoint:
    """An endpoint `e` with one variant `v` of these containers."""
    return asyncio.run(workshop.endpoint(EndpointSettings("e", (VariantSettings("v", containers, instances=instances),))))


def members(endpoint: Endpoint) -> list[Instance]:
    """Its instances."""
    return list(endpoint.pools["v"].instances)


def told(instance: Instance, index: int = 0) -> str:
    """What one of its containers prints when it is started."""

    async def start() -> str:
        container = instance.members[index].container
        try:
            with pytest.raises(ArgosyError) as caught:
                await container.start()
        finally:
            await container.stop()
        return caught.value.detail.strip()

    return asyncio.run(start())


def test_instances_share_a_model_and_nothing_else(workshop: Workshop, model: Path) -> None:
    """Each has a label, a log and a port of its own; the process is told its region and what the settings add."""
    containers = ContainerSettings(str(model), command=TELLS, env={"OURS": "1"})
    first, second = members(built(workshop, containers, instances=2))
    assert [one.members[0].container.label for one in (first, second)] == ["e/v/0", "e/v/1"]
    assert [one.members[0].container.output.path.name for one in (first, second)] == ["0.log", "1.log"]
    place, port, found, bound, region, ours = told(first).split()
    assert (found, port, region, ours) == (str(model), bound, "eu-west-1", "1")
    assert told(second).split()[1] != port
    assert place == str(Path.cwd())


def test_our_own_server_runs_in_a_folder_in_which_the_model_is_called_as_in_a_container(workshop: Workshop, model: Path) -> None:
    """`model` beside it, whatever the folder of the model is called."""
    built(workshop, ContainerSettings(str(model)), instances=2)
    links = sorted(workshop.ledger.folder.glob("work/e/v/*/model"))
    assert [link.parent.name for link in links] == ["container-1-0", "container-1-1"]
    assert {link.resolve() for link in links} == {model}


def test_the_containers_of_a_pipeline_have_names_and_logs_of_their_own(workshop: Workshop, model: Path) -> None:
    """Failures say which of them it was, and where its log is; alone a container is called primary."""
    one = ContainerSettings(str(model), command=TELLS)
    (instance,) = members(built(workshop, one, dataclasses.replace(one, hostname="second")))
    assert [member.container.label for member in instance.members] == ["e/v/0/container-1", "e/v/0/second"]
    assert [member.source.container for member in instance.members] == ["container-1", "second"]
    assert [member.source.console for member in instance.members] == [f"{workshop.logs}/e/v/0/{name}.log" for name in ("container-1", "second")]
    assert {member.source.log_stream for member in instance.members} == {
        "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/sagemaker/Endpoints/e"}  # fmt: skip
    (alone,) = members(asyncio.run(workshop.endpoint(EndpointSettings("f", (VariantSettings("v", (one,)),)))))
    assert alone.members[0].source.container == "primary"


def test_an_image_is_run_by_the_engine(workshop: Workshop, model: Path) -> None:
    """Under a name that no other runtime, endpoint, instance or start has, with the model where SageMaker puts it."""
    (instance,) = members(built(workshop, ContainerSettings(str(model), image="img:1")))
    line = told(instance)
    container = instance.members[0].container
    assert f"run --rm --name argosy-e-v-0-f00d-{container.port} --publish 127.0.0.1:{container.port}:8080" in line
    assert f"--volume {model}:/opt/ml/model:ro img:1 serve" in line
    assert container.port != int(told(instance).partition("127.0.0.1:")[2].partition(":")[0])


def test_an_image_may_bring_its_own_model(workshop: Workshop) -> None:
    """Then nothing is mounted."""
    (instance,) = members(built(workshop, ContainerSettings(image="img:1")))
    assert "--volume" not in told(instance)


def test_a_multi_model_container_begins_with_an_empty_folder(workshop: Workshop, model: Path) -> None:
    """For each instance one, which is mounted where target models are; its model data is what they are looked for under."""
    first, second = members(built(workshop, ContainerSettings(str(model.parent), image="img:1", multi_model=True), instances=2))
    folders = sorted(workshop.ledger.folder.glob("work/e/v/*/models"))
    assert len(folders) == 2
    assert all(list(folder.iterdir()) == [] for folder in folders)
    assert f"--env SAGEMAKER_MULTI_MODEL=true --volume {folders[0]}:/opt/ml/models:ro" in told(first)
    assert first.members[0].targets is not None
    assert first.members[0].targets is not second.members[0].targets


def test_without_an_engine_only_images_are_refused(workshop: Workshop, model: Path) -> None:
    """It is looked for when it is needed."""

    def none() -> Engine:
        raise invalid("there is no engine")

    poor = dataclasses.replace(workshop, engine=none)
    built(poor, ContainerSettings(str(model)))
    with pytest.raises(ArgosyError, match="there is no engine"):
        asyncio.run(poor.endpoint(EndpointSettings("f", (VariantSettings("v", (ContainerSettings(image="img:1"),)),))))


@pytest.mark.parametrize(("data", "code"), [
    ("s3://b/none.tar.gz", ErrorCode.MODEL_NOT_FOUND), ("/no/such/model.tar.gz", ErrorCode.MODEL_NOT_FOUND),
    ("{model}/handler.py", ErrorCode.INVALID_MODEL),
])  # fmt: skip
def test_model_data_that_is_not_there_is_told_before_anything_starts(workshop: Workshop, model: Path, data: str, code: ErrorCode) -> None:
    """By its address."""
    with pytest.raises(ArgosyError) as caught:
        built(workshop, ContainerSettings(data.format(model=model)))
    assert caught.value.code is code
    assert data.format(model=model) in caught.value.message


def test_output_is_shown_with_the_name_of_its_container(workshop: Workshop, model: Path) -> None:
    """Line by line, beside the log."""
    lines: list[str] = []
    (instance,) = members(built(dataclasses.replace(workshop, show=lines.append), ContainerSettings(str(model), command=("echo", "hello"))))
    assert told(instance) == "hello"
    assert lines == ["[e/v/0] hello"]
    assert (workshop.logs / "e" / "v" / "0.log").read_text() == "hello\n"
