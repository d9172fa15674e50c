//! Rows as SQL*Plus lays them out: widths, folding, wrapping, pages, tabs, CSV.

use std::collections::BTreeMap;

use rusqlite::types::Value;

use super::settings::{Csv, Settings};
use crate::sql::nls::Nls;
use crate::sql::{format_number, Cell, Head, Shape};

/// What COLUMN says about a column.
#[derive(Debug, Clone, Default)]
pub struct ColumnFormat {
    /// `A20`
    pub width: Option<usize>,
    /// `99999`
    pub number: Option<String>,
    pub heading: Option<String>,
    pub null: Option<String>,
    pub off: bool,
    pub noprint: bool,
    pub new_value: Option<String>,
    /// JUSTIFY RIGHT and the like are not simulated; WORD_WRAPPED and TRUNCATED are.
    pub truncated: bool,
}

struct Layout {
    index: usize,
    width: usize,
    right: bool,
    heading: Vec<String>,
    truncated: bool,
}

/// Replaces runs of blanks by TABs that reach an eight-column stop, as SET TAB ON does.
pub fn with_tabs(line: &str) -> String {
    let mut out = String::new();
    let mut column = 0;
    let mut blanks = 0;
    for c in line.chars() {
        if c == ' ' {
            blanks += 1;
            continue;
        }
        flush(&mut out, column, blanks);
        column += blanks;
        blanks = 0;
        out.push(c);
        column += 1;
    }
    flush(&mut out, column, blanks);
    out
}

fn flush(out: &mut String, from: usize, blanks: usize) {
    let (mut at, end) = (from, from + blanks);
    while at < end {
        let stop = (at / 8 + 1) * 8;
        // A TAB for a single blank would gain nothing.
        if stop <= end && stop - at > 1 {
            out.push('\t');
            at = stop;
        } else {
            out.push(' ');
            at += 1;
        }
    }
}

/// A number in at most `width` characters: decimals are rounded away, then the exponent form is used.
pub fn fit_number(text: &str, width: usize, decimal: char) -> String {
    if text.chars().count() <= width {
        return text.into();
    }
    let plain = text.replace(decimal, ".");
    let Ok(value) = plain.parse::<f64>() else { return "#".repeat(width) };
    let whole = plain.trim_start_matches('-').split('.').next().map_or(0, str::len);
    let sign = usize::from(value < 0.0);
    if plain.contains('.') && whole + sign < width {
        let places = width - whole - sign - 1;
        let rounded = Value::Real(format!("{value:.places$}").parse().unwrap_or(value));
        let shown = format_number::plain(&rounded, decimal);
        if shown.len() <= width {
            return shown;
        }
    }
    // d.ddddE+nn
    let Some(places) = width.checked_sub(6 + sign) else { return "#".repeat(width) };
    let shown = format!("{value:.places$e}");
    let (mantissa, exponent) = shown.split_once('e').unwrap_or((&shown, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}E{sign}{:02}", mantissa.replace('.', &decimal.to_string()), exponent.abs())
}

pub struct Report<'a> {
    pub settings: &'a Settings,
    pub columns: &'a BTreeMap<String, ColumnFormat>,
    pub nls: &'a Nls,
}

impl Report<'_> {
    fn format_of(&self, head: &Head) -> Option<&ColumnFormat> {
        self.columns.get(&head.name.to_uppercase()).filter(|f| !f.off)
    }

    fn number(&self, text: &str, head: &Head) -> String {
        let model = self.format_of(head).and_then(|f| f.number.as_ref()).or(self.settings.numformat.as_ref());
        match model {
            Some(model) => {
                let value = format_number::parse(text, self.nls.decimal).unwrap_or(Value::Null);
                format_number::to_char(&value, model, self.nls).unwrap_or_else(|_| "#".repeat(model.len()))
            }
            None => fit_number(text, self.settings.numwidth, self.nls.decimal),
        }
    }

    fn text(&self, cell: &Cell, head: &Head) -> String {
        match cell {
            Cell::Null => self
                .format_of(head)
                .and_then(|f| f.null.clone())
                .unwrap_or_else(|| self.settings.null.clone()),
            Cell::Number(text) if head.shape == Shape::Number => self.number(text, head),
            Cell::Number(text) | Cell::Text(text) => text.clone(),
        }
    }

    fn layout(&self, heads: &[Head], rows: &[Vec<Cell>]) -> Vec<Vec<Layout>> {
        let limit = self.settings.linesize;
        let separator = self.settings.colsep.chars().count();
        let mut lines: Vec<Vec<Layout>> = vec![];
        let mut used = 0;
        for (index, head) in heads.iter().enumerate() {
            let format = self.format_of(head);
            if format.is_some_and(|f| f.noprint) {
                continue;
            }
            let title = format.and_then(|f| f.heading.clone()).unwrap_or_else(|| head.name.clone());
            let heading: Vec<String> = title.split('|').map(str::to_string).collect();
            let longest = heading.iter().map(|h| h.chars().count()).max().unwrap_or(0);
            let right = head.shape == Shape::Number;
            let width = match head.shape {
                Shape::Number => {
                    let model = format.and_then(|f| f.number.as_ref()).or(self.settings.numformat.as_ref());
                    let own = model.map_or(self.settings.numwidth, |m| format_number::width(m));
                    own.max(longest)
                }
                Shape::Text(n) => format.and_then(|f| f.width).unwrap_or(n),
                Shape::Date => format.and_then(|f| f.width).unwrap_or_else(|| {
                    rows.iter()
                        .filter_map(|r| match r.get(index) {
                            Some(Cell::Text(t)) => Some(t.chars().count()),
                            _ => None,
                        })
                        .max()
                        .unwrap_or(9)
                }),
            };
            let width = width.clamp(1, limit);
            let more = used + separator + width;
            let layout = Layout {
                index,
                width,
                right,
                heading,
                truncated: !self.settings.wrap || format.is_some_and(|f| f.truncated),
            };
            match lines.last_mut() {
                Some(line) if more <= limit => {
                    used = more;
                    line.push(layout);
                }
                _ => {
                    used = width;
                    lines.push(vec![layout]);
                }
            }
        }
        lines
    }

    /// The lines of a result, without the feedback after it.
    pub fn lines(&self, heads: &[Head], rows: &[Vec<Cell>]) -> Vec<String> {
        if rows.is_empty() {
            return vec![];
        }
        if let Some(csv) = self.settings.csv {
            return self.csv(csv, heads, rows);
        }
        let layout = self.layout(heads, rows);
        let heading = self.heading(&layout);
        let page = self.settings.pagesize;
        let mut out = Vec::new();
        let mut left = 0;
        for row in rows {
            let record = self.record(&layout, heads, row);
            if page > 0 && (left == 0 || (record.len() > left && left < page)) {
                out.extend(vec![String::new(); self.settings.newpage]);
                left = page.saturating_sub(self.settings.newpage);
                if self.settings.heading {
                    out.extend(heading.iter().cloned());
                    left = left.saturating_sub(heading.len());
                }
                left = left.max(1);
            }
            left = left.saturating_sub(record.len());
            out.extend(record);
        }
        out
    }

    fn heading(&self, layout: &[Vec<Layout>]) -> Vec<String> {
        let mut out = Vec::new();
        for line in layout {
            let depth = line.iter().map(|c| c.heading.len()).max().unwrap_or(1);
            for level in 0..depth {
                let cells: Vec<String> = line
                    .iter()
                    .map(|c| {
                        let skip = depth - c.heading.len();
                        let text =
                            level.checked_sub(skip).and_then(|i| c.heading.get(i)).map_or("", String::as_str);
                        justified(text, c.width, c.right)
                    })
                    .collect();
                out.push(cells.join(&self.settings.colsep));
            }
            if let Some(c) = self.settings.underline {
                let cells: Vec<String> = line.iter().map(|l| c.to_string().repeat(l.width)).collect();
                out.push(cells.join(&self.settings.colsep));
            }
        }
        out
    }

    fn record(&self, layout: &[Vec<Layout>], heads: &[Head], row: &[Cell]) -> Vec<String> {
        let mut out = Vec::new();
        let mut wrapped = layout.len() > 1;
        for line in layout {
            let cells: Vec<Vec<String>> = line
                .iter()
                .map(|c| {
                    let text =
                        row.get(c.index).map(|cell| self.text(cell, &heads[c.index])).unwrap_or_default();
                    if c.right {
                        vec![text]
                    } else {
                        cut(&text, c.width, c.truncated)
                    }
                })
                .collect();
            let depth = cells.iter().map(Vec::len).max().unwrap_or(1);
            wrapped |= depth > 1;
            for level in 0..depth {
                let parts: Vec<String> = line
                    .iter()
                    .zip(&cells)
                    .map(|(c, parts)| {
                        justified(parts.get(level).map_or("", String::as_str), c.width, c.right)
                    })
                    .collect();
                out.push(parts.join(&self.settings.colsep));
            }
        }
        if wrapped && self.settings.recsep {
            out.push(String::new());
        }
        out
    }

    fn csv(&self, csv: Csv, heads: &[Head], rows: &[Vec<Cell>]) -> Vec<String> {
        let quoted = |text: &str| {
            if csv.quote {
                format!("\"{}\"", text.replace('"', "\"\""))
            } else {
                text.to_string()
            }
        };
        let delimiter = csv.delimiter.to_string();
        let mut out = Vec::new();
        if self.settings.pagesize > 0 {
            out.extend(vec![String::new(); self.settings.newpage]);
            if self.settings.heading {
                out.push(heads.iter().map(|h| quoted(&h.name)).collect::<Vec<_>>().join(&delimiter));
            }
        }
        for row in rows {
            let cells: Vec<String> = row
                .iter()
                .zip(heads)
                .map(|(cell, head)| match cell {
                    Cell::Null => self.settings.null.clone(),
                    Cell::Number(text) if head.shape == Shape::Number => {
                        self.number(text, head).trim().to_string()
                    }
                    Cell::Number(text) | Cell::Text(text) => quoted(text),
                })
                .collect();
            out.push(cells.join(&delimiter));
        }
        out
    }
}

fn justified(text: &str, width: usize, right: bool) -> String {
    let cut: String = text.chars().take(width.max(if right { text.chars().count() } else { 0 })).collect();
    if right {
        format!("{cut:>width$}")
    } else {
        format!("{cut:<width$}")
    }
}

/// Cuts a value into lines of a column, hard at its width, as WRAP ON does.
fn cut(text: &str, width: usize, truncated: bool) -> Vec<String> {
    let mut out = Vec::new();
    for part in text.split('\n') {
        let chars: Vec<char> = part.chars().collect();
        if chars.is_empty() {
            out.push(String::new());
        }
        for piece in chars.chunks(width) {
            out.push(piece.iter().collect());
            if truncated {
                return out;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tabs() {
        assert_eq!(
            with_tabs("NAME      OPEN_MODE            LOG_MODE"),
            "NAME\t  OPEN_MODE\t       LOG_MODE"
        );
        assert_eq!(
            with_tabs("PROCESS   STATUS          THREAD#  SEQUENCE#"),
            "PROCESS   STATUS\t  THREAD#  SEQUENCE#"
        );
        assert_eq!(with_tabs("ARCH      CLOSING               1"), "ARCH\t  CLOSING\t\t1");
        assert_eq!(with_tabs("Fixed Size                 13842592 bytes"), "Fixed Size\t\t   13842592 bytes");
    }

    #[test]
    fn numbers() {
        assert_eq!(fit_number("9999999999", 10, '.'), "9999999999");
        assert_eq!(fit_number("959994799549", 10, '.'), "9.5999E+11");
        assert_eq!(fit_number("10334714016", 10, '.'), "1.0335E+10");
        assert_eq!(fit_number(".333333333333333", 10, '.'), ".333333333");
        assert_eq!(fit_number("-959994799549", 10, '.'), "-9.600E+11");
        assert_eq!(fit_number("959994799549", 12, '.'), "959994799549");
    }
}
