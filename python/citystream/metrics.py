"""The endpoint that Prometheus reads."""

from __future__ import annotations

from . import _core
from .errors import ConfigError

METRICS_HOST = "127.0.0.1"

_MOST = 65_535


def endpoint(port: int, host: str) -> _core.Metrics:
    """Opens one.

    Args:
        port: 0 is any that is free.
        host: The address to serve at.

    Raises:
        ConfigError: It is no port, or taken, or the address is none of this machine's.
    """
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= _MOST:
        raise ConfigError(f"metrics_port is {port!r}. Give a port from 0 to {_MOST}; 0 is any that is free")
    return _core.Metrics(host, port)
