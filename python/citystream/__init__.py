"""A simulated city with known truth, as Kafka streams and exactly-once lake tables.

Examples:
    ```python
    import citystream as cs

    city = cs.City(seed=7, vehicles=2_000, duration="1d")
    lake = cs.Lake("lake")
    lake.ingest(city)
    lake.refine()
    lake.query("select * from gold.road_5min order by window_start limit 5")
    ```
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import gold as gold
    from . import realism as realism
    from . import spark as spark
    from ._core import build_info as build_info
    from .city import City as City
    from .errors import CitystreamError as CitystreamError
    from .errors import ConfigError as ConfigError
    from .errors import ConflictError as ConflictError
    from .errors import DecodeError as DecodeError
    from .errors import ForkedError as ForkedError
    from .errors import GapError as GapError
    from .errors import KafkaConnectionError as KafkaConnectionError
    from .errors import KafkaError as KafkaError
    from .errors import StoreError as StoreError
    from .errors import TableError as TableError
    from .faults import Faults as Faults
    from .faults import scenarios as scenarios
    from .grading import GradeReport as GradeReport
    from .grading import grade as grade
    from .kafka import Publisher as Publisher
    from .lake import Lake as Lake
    from .rules import silver as silver

    __version__: str

# Where each name lives. Loaded when first used, so that `import citystream` and `citystream --help` are quick.
_HOMES = {
    "City": "city",
    "CitystreamError": "errors",
    "ConfigError": "errors",
    "ConflictError": "errors",
    "DecodeError": "errors",
    "Faults": "faults",
    "ForkedError": "errors",
    "GapError": "errors",
    "GradeReport": "grading",
    "KafkaConnectionError": "errors",
    "KafkaError": "errors",
    "Lake": "lake",
    "Publisher": "kafka",
    "StoreError": "errors",
    "TableError": "errors",
    "build_info": "_core",
    "gold": "gold",
    "grade": "grading",
    "realism": "realism",
    "scenarios": "faults",
    "silver": "rules",
    "spark": "spark",
}

__all__ = [*_HOMES, "__version__"]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("citystream")
    if name not in _HOMES:
        raise AttributeError(f"module 'citystream' has no attribute {name!r}")
    home = import_module(f"citystream.{_HOMES[name]}")
    # A module of the package is its own home.
    value = home if name == _HOMES[name] else getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
