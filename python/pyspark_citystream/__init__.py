"""Spark looks for data sources in modules whose names begin with `pyspark_`: this one is `format("citystream")`."""

from citystream.spark.source import CitystreamSource as DefaultSource

__all__ = ["DefaultSource"]
