//! Rows with names from a table: CSV with a header line, as spreadsheets write it (RFC 4180).
//!
//! The separator is the comma, or the semicolon or tab if the header has one and no comma. Cells may be quoted; others lose the spaces around them.
//! Empty lines are skipped. A first column without a name counts rows and is left out.

use tacit_gateway::NamedRow;

/// A table as read: every row has a cell for each name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableFile {
    names: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl TableFile {
    pub(crate) fn from_csv(text: &str) -> Result<Self, String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut records = Records { rest: text, line: 1, separator: separator(text) };
        let (_, mut names) = records.next_full()?.ok_or("it is empty")?;
        let numbered = names.first().is_some_and(String::is_empty);
        if numbered {
            names.remove(0);
        }
        let mut rows = Vec::new();
        while let Some((line, mut cells)) = records.next_full()? {
            let (expected, got) = (names.len() + usize::from(numbered), cells.len());
            if expected != got {
                return Err(format!("line {line} has {got} cells, and the header has {expected}"));
            }
            if numbered {
                cells.remove(0);
            }
            rows.push(cells);
        }
        if rows.is_empty() {
            return Err("it has a header and no rows".to_owned());
        }
        Ok(Self { names, rows })
    }

    pub(crate) fn count(&self) -> usize {
        self.rows.len()
    }

    /// A row, counted from zero.
    pub(crate) fn row(&self, index: usize) -> Option<NamedRow> {
        let cells = self.rows.get(index)?;
        Some(NamedRow(self.names.iter().cloned().zip(cells.iter().cloned()).collect()))
    }
}

fn separator(text: &str) -> char {
    let header = text.lines().next().unwrap_or_default();
    let used = |separator: &char| header.contains(*separator);
    [',', ';', '\t'].into_iter().find(used).unwrap_or(',')
}

struct Records<'a> {
    rest: &'a str,
    line: usize,
    separator: char,
}

impl Records<'_> {
    /// The next record that is not an empty line, with its line.
    fn next_full(&mut self) -> Result<Option<(usize, Vec<String>)>, String> {
        while !self.rest.is_empty() {
            let line = self.line;
            let cells = self.next_record()?;
            if cells.len() > 1 || cells.iter().any(|cell| !cell.is_empty()) {
                return Ok(Some((line, cells)));
            }
        }
        Ok(None)
    }

    fn next_record(&mut self) -> Result<Vec<String>, String> {
        let mut cells = Vec::new();
        loop {
            let (cell, more) = self.next_cell()?;
            cells.push(cell);
            if !more {
                return Ok(cells);
            }
        }
    }

    /// A cell, and whether another one follows in its record.
    fn next_cell(&mut self) -> Result<(String, bool), String> {
        let ends = [self.separator, '\n'];
        let opened = self.rest.trim_start_matches([' ', '\r']);
        let Some(mut quoted) = opened.strip_prefix('"') else {
            let end = self.rest.find(ends).unwrap_or(self.rest.len());
            let cell = self.rest[..end].trim().to_owned();
            return Ok((cell, self.pass(end)));
        };
        let start = self.line;
        let mut cell = String::new();
        loop {
            let end = quoted.find('"').ok_or_else(|| format!("a quote in line {start} is not closed"))?;
            cell.push_str(&quoted[..end]);
            quoted = &quoted[end + 1..];
            match quoted.strip_prefix('"') {
                Some(after) => {
                    cell.push('"');
                    quoted = after;
                }
                None => break,
            }
        }
        self.line += cell.matches('\n').count();
        let end = quoted.find(ends).unwrap_or(quoted.len());
        if !quoted[..end].trim().is_empty() {
            return Err(format!("line {} goes on after a closing quote", self.line));
        }
        self.rest = quoted;
        Ok((cell, self.pass(end)))
    }

    /// Goes behind what ends a cell; whether it is a separator.
    fn pass(&mut self, end: usize) -> bool {
        let mut ending = self.rest[end..].chars();
        let met = ending.next();
        self.rest = ending.as_str();
        self.line += usize::from(met == Some('\n'));
        met == Some(self.separator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Vec<(String, String)>> {
        let table = TableFile::from_csv(text).unwrap();
        (0..table.count()).map(|index| table.row(index).unwrap().0).collect()
    }

    fn cells(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn tables_are_read_as_spreadsheets_write_them() {
        let expected = [
            cells(&[("age", "35"), ("purpose", "new car")]),
            cells(&[("age", "40"), ("purpose", "a, \"b\"\nc")]),
        ];
        for text in [
            "age,purpose\n35,new car\n40,\"a, \"\"b\"\"\nc\"\n",
            "\u{feff}age,purpose\r\n35,new car\r\n\r\n40,\"a, \"\"b\"\"\nc\"",
            "age;purpose\n35; new car \n40; \"a, \"\"b\"\"\nc\" \n",
            "age\tpurpose\n35\tnew car\n40\t\"a, \"\"b\"\"\nc\"\n\n",
            ",age,purpose\n0,35,new car\n1,40,\"a, \"\"b\"\"\nc\"\n",
        ] {
            assert_eq!(read(text), expected, "{text:?}");
        }
        assert_eq!(read("a\n1\n2"), [cells(&[("a", "1")]), cells(&[("a", "2")])]);
        assert_eq!(read("a,b\n,\n"), [cells(&[("a", ""), ("b", "")])]);
    }

    #[test]
    fn what_is_no_table_is_refused_with_its_line() {
        let refused = |text: &str| TableFile::from_csv(text).unwrap_err();
        assert_eq!(refused(""), "it is empty");
        assert_eq!(refused("\n\n"), "it is empty");
        assert_eq!(refused("a,b\n"), "it has a header and no rows");
        assert_eq!(refused("a,b\n1,2\n\n1,2,3\n"), "line 4 has 3 cells, and the header has 2");
        assert_eq!(refused("a,b\n\"1\n2\",3\n4\n"), "line 4 has 1 cells, and the header has 2");
        assert_eq!(refused("a,b\n1,\"2\n3,4\n"), "a quote in line 2 is not closed");
        assert_eq!(refused("a,b\n1,\"2\"3\n"), "line 2 goes on after a closing quote");
    }

    #[test]
    fn any_text_is_read_or_refused() {
        // All texts of up to six of these characters.
        let letters = ['a', ',', '"', '\n', '\r', ' '];
        let mut texts = vec![String::new()];
        for _ in 0..6 {
            texts = texts.iter().flat_map(|text| letters.map(|letter| format!("{text}{letter}"))).collect();
            for text in &texts {
                let _ = TableFile::from_csv(text);
            }
        }
    }

    /// Every small table, written with all cells quoted, is read as it was.
    #[test]
    fn a_written_table_is_read_back() {
        let words = ["", "a", ",", "\"", "\n", " x ", ";\t"];
        for first in words {
            for second in words {
                for name in ["n", "n,", "n\""] {
                    let quoted = |cell: &str| format!("\"{}\"", cell.replace('"', "\"\""));
                    let row = [quoted(first), quoted(second)].join(",");
                    let text = format!("{},{}\n{row}\n", quoted(name), quoted("m"));
                    assert_eq!(read(&text), [cells(&[(name, first), ("m", second)])], "{text:?}");
                }
            }
        }
    }
}
