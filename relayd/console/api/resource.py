"""Where resources are."""

from fastapi import APIRouter

PREFIX = "/api/v1"


def resources(tag: str) -> APIRouter:
    """Return a router for resources that belong together."""
    return APIRouter(prefix=PREFIX, tags=[tag])
