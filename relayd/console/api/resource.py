"""Where resources are."""

from fastapi import APIRouter
from starlette.convertors import Convertor, register_url_convertor

PREFIX = "/api/v1"


class _AddressInPath(Convertor[str]):
    """An address: its local part may have a `/`, its domain has none."""

    regex = ".+@[^/@]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("address", _AddressInPath())


def resources(tag: str) -> APIRouter:
    """Return a router for resources that belong together."""
    return APIRouter(prefix=PREFIX, tags=[tag])
