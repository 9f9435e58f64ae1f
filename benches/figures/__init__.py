"""The figures, in the order in which they are measured and written."""

from benches.figures import arrow, codec, demo, ingest, kafka, lines, parquet, parts

FIGURES = (
    arrow.FIGURE,
    parts.FIGURE,
    parquet.FIGURE,
    lines.FIGURE,
    codec.FIGURE,
    kafka.FIGURE,
    ingest.FIGURE,
    demo.FIGURE,
)
