"""Real services for tests, started on this machine without a container engine.

    from services import kafka

    with kafka() as broker:
        client = Producer({"bootstrap.servers": broker.bootstrap_servers})

By hand: `PYTHONPATH=tests python -m services kafka`, or `s3`.
"""

from services.broker import Broker, kafka
from services.process import ServiceError
from services.seaweedfs import S3, s3

__all__ = ["S3", "Broker", "ServiceError", "kafka", "s3"]
