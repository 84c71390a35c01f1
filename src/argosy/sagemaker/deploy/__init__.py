"""Bring a model to a SageMaker endpoint and look after it: `Deployment` for programs and notebooks, `argosy sagemaker` for terminals."""

from argosy.sagemaker.deploy.aws import Aws, AwsError, connect
from argosy.sagemaker.deploy.deployment import Deployed, Deployment
from argosy.sagemaker.deploy.display import Display
from argosy.sagemaker.deploy.invocation import Pending, Reply
from argosy.sagemaker.deploy.spec import Asynchronous, Capture, Rollout, Scaling, Serverless, Spec, Variant
from argosy.sagemaker.deploy.status import Status
from argosy.sagemaker.deploy.step import Action, Report, Stopped

__all__ = [
    "Action",
    "Asynchronous",
    "Aws",
    "AwsError",
    "Capture",
    "Deployed",
    "Deployment",
    "Display",
    "Pending",
    "Reply",
    "Report",
    "Rollout",
    "Scaling",
    "Serverless",
    "Spec",
    "Status",
    "Stopped",
    "Variant",
    "connect",
]
