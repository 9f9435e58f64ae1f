"""Real services for tests, started on this machine without a container engine.

    from services import kafka

    with kafka() as broker:
        client = Producer({"bootstrap.servers": broker.bootstrap_servers})

Standard library only. By hand: `PYTHONPATH=tests python -m services kafka`.
"""

from services.broker import Broker, kafka
from services.process import ServiceError

__all__ = ["Broker", "ServiceError", "kafka"]
