"""Inspects a collection with Ray Data: `python ray_job.py LISTING OUTPUT` -> OUTPUT/files and OUTPUT/layers in Parquet.

LISTING is a folder, or a text file with a path or an https URL on each line. A run that was ended is taken up where it was.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import ray
from inspection import arguments, save, table


def inspected(batch: pa.Table) -> pa.Table:
    """Inspect the paths of a batch."""
    return table(batch.column("path").to_pylist())


def layers(batch: pa.Table) -> pa.Table:
    """Return one row for each layer of the files of a batch."""
    lists = batch.column("layers").combine_chunks()
    rows = pa.Table.from_struct_array(pc.list_flatten(lists))
    return rows.add_column(0, "file", batch.column("path").combine_chunks().take(pc.list_parent_indices(lists)))


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--workers", type=int, default=None, help="processes on this machine; a cluster's if absent")
    options = parser.parse_args()
    output = Path(options.output).resolve()

    def write(paths: list[str], part: str) -> None:
        """Write one row a layer, then one a file: the files' folder with its mark says that the part is whole."""
        blocks = max(1, len(paths) // options.batch)
        dataset = ray.data.from_items([{"path": path} for path in paths], override_num_blocks=blocks)
        rows = dataset.map_batches(inspected, batch_format="pyarrow", batch_size=None).materialize()
        of_layers, of_files = (output / kind / part for kind in ("layers", "files"))
        for folder in (of_layers, of_files):
            shutil.rmtree(folder, ignore_errors=True)
        rows.map_batches(layers, batch_format="pyarrow").write_parquet(str(of_layers))
        rows.drop_columns(["layers"]).write_parquet(str(of_files))
        (of_files / "_SUCCESS").touch()

    ray.init(num_cpus=options.workers, runtime_env={"working_dir": str(Path(__file__).parent)})
    save(options, write)
    ray.shutdown()


if __name__ == "__main__":
    main()
