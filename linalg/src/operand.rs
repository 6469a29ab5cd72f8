//! Matrices of which only products with others are computed: dense ones, and rows of a Kronecker product, which is not
//! multiplied out.

use super::dense::Dense;
use super::matrix::Matrix;
use std::ops::Range;

/// A matrix that is multiplied with.
pub enum Operand<'a> {
    /// All of its elements.
    Dense(&'a Dense),
    /// Rows of a Kronecker product.
    Rows(KroneckerRows),
}

impl Operand<'_> {
    /// Returns (rows, columns) of the matrix.
    pub fn size(&self) -> (usize, usize) {
        match self {
            Operand::Dense(dense) => (dense.rows, dense.columns),
            Operand::Rows(part) => part.size(),
        }
    }

    /// Returns directions · M, or directions · Mᵀ.
    pub fn product(&self, directions: &Matrix, transposed: bool) -> Matrix {
        match self {
            Operand::Dense(dense) => by_blocks(dense, directions, transposed),
            Operand::Rows(part) if transposed => part.along_columns(directions),
            Operand::Rows(part) => part.along_rows(directions),
        }
    }
}

/// Computes directions · M, or directions · Mᵀ, by blocks of M's rows.
fn by_blocks(dense: &Dense, directions: &Matrix, transposed: bool) -> Matrix {
    const BLOCK: usize = 256;
    let width = if transposed { dense.rows } else { dense.columns };
    let mut out = Matrix::zeros(directions.rows, width);
    for (index, block) in dense.data.chunks(BLOCK * dense.columns.max(1)).enumerate() {
        let (block, start) = (Matrix::of(block, dense.columns), index * BLOCK);
        if transposed {
            let part = directions.times_transposed(&block);
            for row in 0..part.rows {
                out.data[row * width + start..][..part.columns].copy_from_slice(part.row(row));
            }
        } else {
            let columns_of_block = (0..directions.rows).flat_map(|row| &directions.row(row)[start..start + block.rows]);
            let part = Matrix { rows: directions.rows, columns: block.rows, data: columns_of_block.copied().collect() };
            out.data.iter_mut().zip(part.times(&block).data).for_each(|(out, x)| *out += x);
        }
    }
    out
}

/// Rows of first ⊗ second that need not be whole blocks of it.
pub struct KroneckerRows {
    /// The rows of the first factor whose blocks the rows are in: transposed, and as they are.
    first: [Matrix; 2],
    /// The second factor: transposed, and as it is.
    second: [Matrix; 2],
    /// The rows, counted from the start of the first block.
    rows: Range<usize>,
}

impl KroneckerRows {
    /// Selects rows of a Kronecker product; at least one.
    pub fn new(first: &Dense, second: &Dense, rows: &Range<usize>) -> KroneckerRows {
        let height = second.rows;
        let blocks = rows.start / height..rows.end.div_ceil(height);
        let first = Matrix::of(&first.data[blocks.start * first.columns..blocks.end * first.columns], first.columns);
        let second = Matrix::from(second);
        let start = blocks.start * height;
        KroneckerRows {
            first: [first.transposed(), first],
            second: [second.transposed(), second],
            rows: rows.start - start..rows.end - start,
        }
    }

    fn size(&self) -> (usize, usize) {
        (self.rows.len(), self.first[0].rows * self.second[0].rows)
    }

    /// Returns directions · M. A row vector x that is laid out as a matrix X with a row per block gives firstᵀ · X · second.
    fn along_rows(&self, directions: &Matrix) -> Matrix {
        let width = self.first[1].rows * self.second[1].rows;
        let mut padded = Matrix::zeros(directions.rows, width);
        for row in 0..directions.rows {
            padded.data[row * width..][self.rows.clone()].copy_from_slice(directions.row(row));
        }
        between(&self.first[0], padded, &self.second[1])
    }

    /// Returns directions · Mᵀ.
    fn along_columns(&self, directions: &Matrix) -> Matrix {
        let all = between(&self.first[1], directions.clone(), &self.second[0]);
        let picked = (0..all.rows).flat_map(|row| &all.row(row)[self.rows.clone()]);
        Matrix { rows: all.rows, columns: self.rows.len(), data: picked.copied().collect() }
    }
}

/// Returns left · X · right for each row of `list`, a matrix X that is laid out row by row; the smaller of the two results in
/// between is computed.
fn between(left: &Matrix, list: Matrix, right: &Matrix) -> Matrix {
    let (count, columns) = (list.rows, left.rows * right.columns);
    let from_left = |list: &Matrix| {
        let width = list.data.len() / (count * left.columns).max(1);
        let each = list
            .data
            .chunks_exact((left.columns * width).max(1))
            .flat_map(|data| left.times(&Matrix { rows: left.columns, columns: width, data: data.to_vec() }).data);
        Matrix { rows: count * left.rows, columns: width, data: each.collect() }
    };
    let data = if left.columns <= left.rows {
        let wide = Matrix { rows: count * left.columns, columns: right.rows, data: list.data }.times(right);
        from_left(&wide).data
    } else {
        from_left(&list).times(right).data
    };
    Matrix { rows: count, columns, data }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dense(rows: usize, columns: usize, seed: usize) -> Dense {
        let data = (0..rows * columns).map(|i| ((i * seed % 17) as f32 - 8.0) / 8.0).collect();
        Dense { rows, columns, data }
    }

    #[test]
    fn products_with_rows_of_a_kronecker_product_are_those_of_its_elements() {
        for (first, second) in [(dense(4, 3, 5), dense(5, 2, 7)), (dense(2, 6, 3), dense(3, 4, 11))] {
            let whole = first.kronecker(&second);
            let last = whole.rows;
            for rows in [0..last, 1..last - 1, 2..3, second.rows..last, 0..second.rows + 1] {
                let part = Operand::Rows(KroneckerRows::new(&first, &second, &rows));
                let elements = whole.data[rows.start * whole.columns..rows.end * whole.columns].to_vec();
                let elements = Dense::new(elements, whole.columns);
                assert_eq!(part.size(), (elements.rows, elements.columns));
                for (transposed, width) in [(false, elements.rows), (true, elements.columns)] {
                    let directions = Matrix::from(&dense(3, width, 13));
                    let got = part.product(&directions, transposed);
                    let want = Operand::Dense(&elements).product(&directions, transposed);
                    assert_eq!((got.rows, got.columns), (want.rows, want.columns));
                    let off = got.data.iter().zip(&want.data).map(|(got, want)| (got - want).abs());
                    assert!(off.fold(0.0, f64::max) < 1e-12, "{rows:?} {transposed}");
                }
            }
        }
    }
}
