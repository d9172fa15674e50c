//! The table that a benchmark prints.

use std::io::{self, Write};

/// One line of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub case: String,
    pub who: String,
    /// Wall seconds, median.
    pub seconds: Option<f64>,
    /// Wall time divided by that of our tool in the same case.
    pub ratio: Option<f64>,
    /// Processor seconds of the local side, user and system.
    pub cpu: Option<f64>,
    pub connections: Option<usize>,
    pub note: String,
}

/// All rows of a run.
#[derive(Debug, Clone, Default)]
pub struct Table {
    rows: Vec<Row>,
}

const HEAD: [&str; 7] = ["case", "who", "wall s", "x ours", "cpu s", "ssh", "note"];

impl Table {
    pub fn push(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Writes it with aligned columns; a case is named once.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let figure =
            |value: Option<f64>, digits: usize| value.map_or_else(String::new, |v| format!("{v:.digits$}"));
        let mut lines = vec![HEAD.map(str::to_owned)];
        let mut last = "";
        for row in &self.rows {
            let case = if row.case == last { String::new() } else { row.case.clone() };
            last = &row.case;
            lines.push([
                case,
                row.who.clone(),
                figure(row.seconds, if row.seconds.is_some_and(|s| s < 0.1) { 4 } else { 2 }),
                figure(row.ratio, 2),
                figure(row.cpu, 2),
                row.connections.map_or_else(String::new, |n| n.to_string()),
                row.note.clone(),
            ]);
        }
        let mut widths = [0; 7];
        for line in &lines {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for line in &lines {
            let [case, who, seconds, ratio, cpu, ssh, note] = line;
            let [a, b, c, d, e, f, _] = widths;
            let text =
                format!("{case:a$}  {who:b$}  {seconds:>c$}  {ratio:>d$}  {cpu:>e$}  {ssh:>f$}  {note}");
            writeln!(out, "{}", text.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_a_case_is_named_once() {
        let row = |who: &str, seconds, note: &str| Row {
            case: "4 x 1".to_owned(),
            who: who.to_owned(),
            seconds: Some(seconds),
            ratio: Some(seconds / 2.0),
            cpu: None,
            connections: Some(2),
            note: note.to_owned(),
        };
        let mut table = Table::default();
        table.push(row("ours", 2.0, ""));
        table.push(row("original", 120.0, "scaled"));
        let mut out = Vec::new();
        table.write(&mut out).unwrap();
        let want = "\
case   who       wall s  x ours  cpu s  ssh  note
4 x 1  ours        2.00    1.00           2
       original  120.00   60.00           2  scaled
";
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }
}
