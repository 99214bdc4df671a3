"""Proof of who calls: AWS Signature Version 4 against this installation's access keys."""

from gateway.auth.access import Access
from gateway.auth.authorization import Authorization, parse_authorization
from gateway.auth.sigv4 import Admitted, SignatureVerifier, SignedRequest

__all__ = ["Access", "Admitted", "Authorization", "SignatureVerifier", "SignedRequest", "parse_authorization"]
