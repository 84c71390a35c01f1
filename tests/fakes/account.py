"""An AWS account for tests of deployments: what is in it, and how a deployment is made in it."""

from __future__ import annotations

import importlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from argosy.sagemaker.deploy import Aws, Deployment, connect
from argosy.sagemaker.deploy.step import Report, Silence
from argosy.store import archive, manifest
from fakes.aws import ENVIRONMENT, FakeAws
from fakes.image_tool import FakeTool

HANDLER = "def predict(text: str) -> str:\n    return text.upper()\n"
NAME = "hello"
ACCOUNT = "123456789012"
BUCKET = f"argosy-{ACCOUNT}-us-east-1-{NAME}"
_DIRECT = ("s3", "ecr", "iam", "sagemaker", "application-autoscaling", "logs", "cloudwatch")
ROLE = f"argosy-us-east-1-{NAME}"


def packed(folder: Path, handler: str = HANDLER, name: str = NAME, weights: bytes = b"") -> Path:
    """An archive of a model with that handler."""
    source = folder / "source"
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    (source / "handler.py").write_text(handler)
    (source / "weights").write_bytes(weights)
    form = archive.ArchiveFormat.TGZ
    target = Path(archive.target_of(str(folder), name, form))
    archive.pack(source, target, form, name, manifest.build_manifest(name, "handler:predict", "python"))
    return target


@dataclass
class Account:
    """One account: the fake AWS, a connection to it, a model and an image."""

    fake: FakeAws
    aws: Aws
    folder: Path
    direct: Mapping[str, Any]
    """Clients of moto itself: calls by them are not recorded and never fail."""
    tool: FakeTool
    pauses: list[float] = field(default_factory=list)

    def deployment(self, name: str = NAME, *, report: Report | None = None, **values: Any) -> Deployment:
        """A deployment of the model, without waiting in vain."""
        wish = {"model": str(self.folder / f"{NAME}.tar.gz"), "image": "hello:1", **values}
        return Deployment(name, aws=self.aws, report=report or Silence(), pause=self.pauses.append, image_tools={"fake": self.tool}, **wish)

    def emptied(self, folder: Path) -> Account:
        """The same account with nothing in it, and a model in that folder."""
        self.fake.reset()
        shutil.copy(self.folder / f"{NAME}.tar.gz", folder)
        return Account(self.fake, self.aws, folder, self.direct, FakeTool(self.direct["ecr"]))

    def contents(self) -> dict[str, Any]:
        """Everything that is in the account, without times."""
        storage = {"buckets": self._buckets(), "repositories": self._repositories()}
        return {**storage, "roles": self._roles(), **self._hosting(), "scaling": self._scaling()}

    def _buckets(self) -> dict[str, Any]:
        s3 = self.direct["s3"]
        return {bucket["Name"]: self._bucket(s3, bucket["Name"]) for bucket in s3.list_buckets()["Buckets"]}

    def _bucket(self, s3: Any, bucket: str) -> dict[str, Any]:
        def asked(operation: str, key: str) -> Any:
            try:
                return getattr(s3, operation)(Bucket=bucket)[key]
            except s3.exceptions.ClientError as error:
                return error.response["Error"]["Code"]

        objects = {}
        for item in s3.list_objects_v2(Bucket=bucket).get("Contents", []):
            head = s3.head_object(Bucket=bucket, Key=item["Key"])
            tags = s3.get_object_tagging(Bucket=bucket, Key=item["Key"])["TagSet"]
            objects[item["Key"]] = (head["ContentLength"], head["Metadata"], head.get("ServerSideEncryption"), tags)
        return {
            "tags": asked("get_bucket_tagging", "TagSet"), "access": asked("get_public_access_block", "PublicAccessBlockConfiguration"),
            "encryption": asked("get_bucket_encryption", "ServerSideEncryptionConfiguration"), "objects": objects}  # fmt: skip

    def _repositories(self) -> dict[str, Any]:
        ecr, found = self.direct["ecr"], {}
        for item in ecr.describe_repositories()["repositories"]:
            images = ecr.describe_images(repositoryName=item["repositoryName"])["imageDetails"]
            tags = ecr.list_tags_for_resource(resourceArn=item["repositoryArn"])["tags"]
            pushed = [(image["imageDigest"], image["imageTags"]) for image in images]
            found[item["repositoryName"]] = (item["imageTagMutability"], item["imageScanningConfiguration"], tags, pushed)
        return found

    def _roles(self) -> dict[str, Any]:
        iam, found = self.direct["iam"], {}
        for role in iam.list_roles()["Roles"]:
            name = role["RoleName"]
            policies = {
                policy: iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
                for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]}  # fmt: skip
            found[name] = (role["AssumeRolePolicyDocument"], iam.get_role(RoleName=name)["Role"].get("Tags"), policies)
        return found

    def _hosting(self) -> dict[str, Any]:
        client = self.direct["sagemaker"]
        models = [item["ModelName"] for item in client.list_models()["Models"]]
        configs = [item["EndpointConfigName"] for item in client.list_endpoint_configs()["EndpointConfigs"]]
        endpoints = {item["EndpointName"]: item["EndpointArn"] for item in client.list_endpoints()["Endpoints"]}
        return {
            "models": {name: _plain(client.describe_model(ModelName=name)) for name in models},
            "configs": {name: _plain(client.describe_endpoint_config(EndpointConfigName=name)) for name in configs},
            "endpoints": {
                name: (_plain(client.describe_endpoint(EndpointName=name)), client.list_tags(ResourceArn=arn)["Tags"])
                for name, arn in endpoints.items()},
        }  # fmt: skip

    def _scaling(self) -> Any:
        client = self.direct["application-autoscaling"]
        targets = client.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
        policies = client.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
        known = {item["ResourceId"] for item in targets}
        # moto keeps the policies of a target that is no more; AWS does not
        left = [item for item in policies if item["ResourceId"] in known]
        # moto's names of both are random
        return [_plain({**item, "ScalableTargetARN": ""}) for item in targets], [_plain({**item, "PolicyARN": "", "Alarms": []}) for item in left]


@contextmanager
def account_at(moto: str, folder: Path) -> Iterator[Account]:
    """An account behind a proxy before moto, with a model in the folder; the environment leads to it until the block ends."""
    boto3 = importlib.import_module("boto3")
    with pytest.MonkeyPatch.context() as patch, FakeAws(moto).running() as fake, ExitStack() as open_clients:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": fake.url}.items():
            patch.setenv(name, value)
        packed(folder)
        session = boto3.Session()
        direct = {name: session.client(name, endpoint_url=f"http://{moto}") for name in _DIRECT}
        for client in direct.values():
            open_clients.enter_context(closing(client))
        aws = open_clients.enter_context(closing(connect()))
        yield Account(fake, aws, folder, direct, FakeTool(direct["ecr"]))


def _plain(found: dict[str, Any]) -> Any:
    kept = {name: value for name, value in found.items() if name != "ResponseMetadata" and not name.endswith("Time")}
    return json.loads(json.dumps(kept, default=str))


EMPTY: dict[str, Any] = {"buckets": {}, "repositories": {}, "roles": {}, "models": {}, "configs": {}, "endpoints": {}, "scaling": ([], [])}
"""What `contents` says of an account with nothing in it."""
