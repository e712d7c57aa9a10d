//! A table whose rows and columns come as its cells are put in.

use std::fmt::{self, Write};

/// What stands where nothing was measured.
const EMPTY: &str = "–";

/// A table.
#[derive(Debug, Default)]
pub(super) struct Table {
    columns: Vec<String>,
    rows: Vec<(String, Vec<String>)>,
}

impl Table {
    /// Puts something where row and column meet, beside what is there; both are made where they are new.
    pub(super) fn put(&mut self, row: &str, column: &str, cell: &str) {
        let column = place(&mut self.columns, |one| one == column, || column.to_owned());
        let row = place(&mut self.rows, |(name, _)| name == row, || (row.to_owned(), Vec::new()));
        let cells = &mut self.rows[row].1;
        cells.resize(cells.len().max(column + 1), String::new());
        let old = &mut cells[column];
        if !old.is_empty() {
            old.push_str(", ");
        }
        old.push_str(cell);
    }

    /// Writes it as Markdown; `corner` is above the names of the rows.
    pub(super) fn write(&self, out: &mut String, corner: &str) -> fmt::Result {
        writeln!(out, "| {corner} | {} |\n|---|{}", self.columns.join(" | "), "---|".repeat(self.columns.len()))?;
        for (name, cells) in &self.rows {
            let cell = |at| cells.get(at).map(String::as_str).filter(|cell| !cell.is_empty()).unwrap_or(EMPTY);
            let cells: Vec<&str> = (0..self.columns.len()).map(cell).collect();
            writeln!(out, "| {name} | {} |", cells.join(" | "))?;
        }
        writeln!(out)
    }
}

/// Where it is, or where it was put now.
fn place<T>(all: &mut Vec<T>, is_it: impl Fn(&T) -> bool, new: impl FnOnce() -> T) -> usize {
    all.iter().position(is_it).unwrap_or_else(|| {
        all.push(new());
        all.len() - 1
    })
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn cells_are_where_their_row_and_column_meet() {
        let mut table = Table::default();
        for (row, column, cell) in [("b", "2", "x"), ("a", "1", "y"), ("b", "2", "z"), ("a", "2", "w")] {
            table.put(row, column, cell);
        }
        let mut text = String::new();
        table.write(&mut text, "of").unwrap();
        assert_eq!(text, "| of | 2 | 1 |\n|---|---|---|\n| b | x, z | – |\n| a | w | y |\n\n");
    }
}
