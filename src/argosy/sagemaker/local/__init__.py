"""A SageMaker runtime on this machine, in front of containers or processes: what an endpoint would do, without one."""

from argosy.sagemaker.local.local import LocalEndpoint, one_endpoint
from argosy.sagemaker.local.settings import (
    AsyncSettings,
    ContainerSettings,
    EndpointSettings,
    Limits,
    RuntimeSettings,
    Serverless,
    VariantSettings,
    Watch,
)
from argosy.sagemaker.local.settings_file import read_file

__all__ = [
    "AsyncSettings", "ContainerSettings", "EndpointSettings", "Limits", "LocalEndpoint", "RuntimeSettings", "Serverless", "VariantSettings", "Watch",
    "one_endpoint", "read_file",
]  # fmt: skip
