"""The AWS wire protocols over HTTP: what boto3, the aws cli and every other AWS SDK speak, turned into gRPC calls."""
