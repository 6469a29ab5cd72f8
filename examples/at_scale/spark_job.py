"""Inspects a collection with Spark: `spark-submit spark_job.py LISTING OUTPUT` -> OUTPUT/files and OUTPUT/layers in Parquet.

LISTING is a folder, or a text file with a path or an https URL on each line. A run that was ended is taken up where it was.
"""

from __future__ import annotations

from typing import Iterator

import inspection
import pandas as pd
from inspection import FILE, arguments, save, table
from pyspark.sql import SparkSession, functions
from pyspark.sql.pandas.types import from_arrow_schema


def inspected(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Inspect the paths of each batch, file by file, so that a worker holds one report at a time."""
    for batch in batches:
        for path in batch["path"]:
            yield table([path]).to_pandas()


def main() -> None:
    options = arguments(__doc__).parse_args()
    spark = SparkSession.builder.appName("lora-loupe").getOrCreate()
    spark.sparkContext.addPyFile(inspection.__file__)

    def write(paths: list[str], part: str) -> None:
        """Write one row a layer, then one a file: the files' folder with its mark says that the part is whole."""
        tasks = max(spark.sparkContext.defaultParallelism, len(paths) // options.batch)
        frame = spark.createDataFrame(pd.DataFrame({"path": paths})).repartition(tasks)
        rows = frame.mapInPandas(inspected, from_arrow_schema(FILE)).persist()
        layers = rows.select(rows.path.alias("file"), functions.explode("layers").alias("layer"))
        layers.select("file", "layer.*").write.mode("overwrite").parquet(f"{options.output}/layers/{part}")
        rows.drop("layers").write.mode("overwrite").parquet(f"{options.output}/files/{part}")
        rows.unpersist()

    save(options, write)
    spark.stop()


if __name__ == "__main__":
    main()
