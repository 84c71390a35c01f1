"""Asks the endpoint `sentiment` for its opinion of a review; where that endpoint is, boto3 knows or AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME says."""

import boto3

runtime = boto3.Session().client(service_name="sagemaker-runtime", region_name="us-east-1")
response = runtime.invoke_endpoint(EndpointName="sentiment", ContentType="application/text", Body="This is an amazing movie.")
print(response["Body"].read())
