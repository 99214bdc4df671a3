"""Proof of who calls: AWS Signature Version 4 against this installation's access keys."""

from gateway.auth.authorization import Authorization, parse_authorization
from gateway.auth.sigv4 import SignatureVerifier, SignedRequest

__all__ = ["Authorization", "SignatureVerifier", "SignedRequest", "parse_authorization"]
