"""Asks a multi-model endpoint for what each of its models thinks; AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME says where it is, or the AWS configuration."""

from __future__ import annotations

import sys
from typing import Any

import boto3

TEXTS = ("Thin.", "Quiet and unpredictable.", "Amazing!")
TARGETS = ("films.tar.gz", "phones.tar.gz", "travel/hotels.tar.gz")


def table(client: Any, endpoint: str) -> list[str]:
    """One line for each model and text."""
    lines = []
    for target in TARGETS:
        for text in TEXTS:
            answer = client.invoke_endpoint(EndpointName=endpoint, TargetModel=target, ContentType="text/plain", Body=text)
            lines.append(f"{target:<21} {text:<25} {answer['Body'].read().decode()}")
    return lines


def refusal(client: Any, endpoint: str) -> str:
    """What is said of a model that is not there."""
    try:
        client.invoke_endpoint(EndpointName=endpoint, TargetModel="boats.tar.gz", ContentType="text/plain", Body="Amazing!")
    except client.exceptions.ValidationError as error:
        return str(error)
    return "boats.tar.gz was answered, though there is no such model"


def main() -> None:
    """Prints the opinions, and what is said of a model that is not there."""
    endpoint = sys.argv[1] if len(sys.argv) > 1 else "reviews"
    client = boto3.Session().client("sagemaker-runtime", region_name="us-east-1")
    print("\n".join(table(client, endpoint)))
    print(refusal(client, endpoint))


if __name__ == "__main__":
    main()
