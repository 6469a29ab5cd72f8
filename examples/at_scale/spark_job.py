"""Inspects a collection with Spark: `spark-submit spark_job.py LISTING OUTPUT` -> OUTPUT/files and OUTPUT/layers in Parquet.

LISTING is a folder, or a text file with a path or an https URL on each line. A run that was ended is taken up where it was.
"""

from __future__ import annotations

import argparse
from typing import Iterator

import pandas as pd
from inspection import FILE, listing, portions, table
from pyspark.sql import DataFrame, SparkSession, functions
from pyspark.sql.pandas.types import from_arrow_schema


def inspected(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Inspect the paths of each batch, file by file, so that a worker holds one report at a time."""
    for batch in batches:
        for path in batch["path"]:
            yield table([path]).to_pandas()


def write(rows: DataFrame, output: str, part: str) -> None:
    """Write one row a layer, then one a file: the files' folder with its mark says that the part is whole."""
    layers = rows.select(rows.path.alias("file"), functions.explode("layers").alias("layer")).select("file", "layer.*")
    layers.write.mode("overwrite").parquet(f"{output}/layers/{part}")
    rows.drop("layers").write.mode("overwrite").parquet(f"{output}/files/{part}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("listing")
    parser.add_argument("output")
    parser.add_argument("--portion", type=int, default=20_000, help="files between two saves")
    parser.add_argument("--batch", type=int, default=32, help="files of one task")
    options = parser.parse_args()

    spark = SparkSession.builder.appName("lora-loupe").getOrCreate()
    for part, paths in portions(listing(options.listing), options.output, options.portion):
        tasks = max(spark.sparkContext.defaultParallelism, len(paths) // options.batch)
        frame = spark.createDataFrame(pd.DataFrame({"path": paths})).repartition(tasks)
        rows = frame.mapInPandas(inspected, from_arrow_schema(FILE)).persist()
        write(rows, options.output, part)
        rows.unpersist()
        print(f"{part}: {len(paths)} files", flush=True)
    spark.stop()


if __name__ == "__main__":
    main()
