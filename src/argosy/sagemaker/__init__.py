"""Amazon SageMaker: from an archive to an endpoint."""
