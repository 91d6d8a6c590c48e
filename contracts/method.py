"""A typed handle on a gRPC method, as the generated ``*_saga.py`` modules declare them."""

from dataclasses import dataclass
from typing import Generic, TypeVar, cast

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)


@dataclass(frozen=True, slots=True)
class Method(Generic[RequestT, ResponseT]):
    """One unary method. ``service`` is fully qualified: ``inventory.v1.InventoryService``."""

    service: str
    name: str
    request: type[RequestT]
    response: type[ResponseT]

    @property
    def full_name(self) -> str:
        """``inventory.v1.InventoryService/Reserve``, as contracts and logs write it."""
        return f"{self.service}/{self.name}"

    @property
    def path(self) -> str:
        """``/inventory.v1.InventoryService/Reserve``, as gRPC puts it on the wire."""
        return f"/{self.service}/{self.name}"

    @property
    def service_descriptor(self) -> ServiceDescriptor:
        """The service's descriptor. Raises ``KeyError`` if the pool of the request's type does not hold it."""
        return cast("ServiceDescriptor", self.request.DESCRIPTOR.file.pool.FindServiceByName(self.service))

    @property
    def descriptor(self) -> MethodDescriptor:
        """The method's descriptor. Raises ``KeyError`` if the service has no such method."""
        return self.service_descriptor.methods_by_name[self.name]
