"""The figures, in the order in which they are measured and written."""

from benches.figures import arrow, codec, demo, gold, ingest, kafka, lake, lines, movement, parquet, parts, spark

FIGURES = (
    movement.FIGURE,
    arrow.FIGURE,
    parts.FIGURE,
    parquet.FIGURE,
    lines.FIGURE,
    codec.FIGURE,
    kafka.FIGURE,
    ingest.FIGURE,
    lake.FIGURE,
    gold.FIGURE,
    spark.FIGURE,
    demo.FIGURE,
)
