-- DuckDB's queries over the result: duckdb -cmd "SET VARIABLE output = 'OUTPUT'" < queries.sql

CREATE OR REPLACE VIEW files AS FROM read_parquet(getvariable('output') || '/files/*/*.parquet', hive_partitioning = false);
CREATE OR REPLACE VIEW layers AS FROM read_parquet(getvariable('output') || '/layers/*/*.parquet', hive_partitioning = false);

-- Families, with the algorithms and the usual rank of each.
SELECT family, count(*) AS files, sum(size) AS bytes, count(*) FILTER (refused) AS refused,
       mode(algorithms[1]) AS usual_algorithm
FROM files GROUP BY family ORDER BY files DESC;

-- Broken files: what is wrong with them, and an example of each.
SELECT problem, count(*) AS files, any_value(path) AS example
FROM (SELECT path, unnest(problems) AS problem FROM files WHERE refused OR error IS NOT NULL)
GROUP BY problem ORDER BY files DESC;

-- Duplicates: the same tensors, whatever the metadata.
SELECT tensor_sha256, count(*) AS copies, list(path ORDER BY path) AS paths
FROM files WHERE tensor_sha256 IS NOT NULL GROUP BY tensor_sha256 HAVING copies > 1 ORDER BY copies DESC, tensor_sha256;

-- Nearest neighbours of each file by their signatures: copies at another rank, dtype or key format, and merges.
-- All pairs are compared: for a million files, take one file at a time, or an index (docs/at-scale.md).
SELECT a.path AS file, b.path AS neighbour, round(list_inner_product(a.signature, b.signature), 3) AS cosine
FROM files a JOIN files b ON a.path < b.path
WHERE a.signature IS NOT NULL AND b.signature IS NOT NULL
  AND abs(list_inner_product(a.signature, b.signature)) > 0.7
ORDER BY cosine DESC, file, neighbour;

-- The strongest layers of all files.
SELECT file, path AS layer, norm FROM layers WHERE norm IS NOT NULL ORDER BY norm DESC LIMIT 20;
