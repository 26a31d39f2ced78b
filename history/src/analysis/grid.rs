//! A table of what is known of each process (or group) in each unit; a row is made when it is first needed.

#[derive(Debug)]
pub(crate) struct Grid<T> {
    rows: Vec<Vec<T>>,
    width: usize,
}

impl<T: Clone + Default> Grid<T> {
    /// An empty table for `width` units.
    pub(crate) fn new(width: usize) -> Self {
        Self { rows: Vec::new(), width }
    }

    /// What is known of `row` in the unit `column`.
    pub(crate) fn at(&mut self, row: usize, column: usize) -> &mut T {
        &mut self.row(row)[column]
    }

    /// What is known of `row` in every unit.
    pub(crate) fn row(&mut self, row: usize) -> &mut [T] {
        if self.rows.len() <= row {
            self.rows.resize_with(row + 1, Vec::new);
        }
        let line = &mut self.rows[row];
        if line.is_empty() {
            line.resize(self.width, T::default());
        }
        line
    }

    /// Forgets all that is known of `row`.
    pub(crate) fn clear(&mut self, row: usize) {
        if let Some(line) = self.rows.get_mut(row) {
            line.fill(T::default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Grid;

    #[test]
    fn keeps_and_forgets() {
        let mut grid: Grid<u8> = Grid::new(3);
        *grid.at(4, 2) = 7;
        assert_eq!((grid.row(4).to_vec(), *grid.at(0, 2)), (vec![0, 0, 7], 0));
        grid.clear(4);
        grid.clear(9);
        assert_eq!(*grid.at(4, 2), 0);
    }
}
