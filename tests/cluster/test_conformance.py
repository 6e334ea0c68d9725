"""The common suite of sandbox runtimes, on pods of the real cluster."""

from tests.cluster.runtime_site import (
    namespace,  # noqa: F401 - fixtures
    open_site,  # noqa: F401
    toy_image,  # noqa: F401
)
from tests.conformance import RuntimeConformance


class TestKubernetes(RuntimeConformance):
    """The common suite, on pods."""
