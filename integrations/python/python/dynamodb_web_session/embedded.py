"""An embedded DynamoDB in this process. As a program of its own: ``python -m dynamodb_web_session local``."""

from __future__ import annotations

from ._core import EmbeddedDynamoDb

__all__ = ["EmbeddedDynamoDb"]
