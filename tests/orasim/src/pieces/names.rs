//! FORMAT: the names of pieces.

use std::path::PathBuf;

use chrono::NaiveDateTime;

/// What a FORMAT can ask for.
#[derive(Debug, Clone)]
pub struct Naming {
    pub db_name: String,
    pub dbid: u32,
    pub set_stamp: u32,
    pub set_count: u32,
    pub piece: u32,
    pub copy: u32,
    pub now: NaiveDateTime,
    /// Day as YYYYMMDD and number of the autobackup.
    pub autobackup: Option<(u32, u32)>,
    /// %U of 18c and older: `u_p_c`.
    pub old_u: bool,
}

fn base32(mut value: u64, digits: usize) -> String {
    let mut out = vec![b'0'; digits];
    for place in out.iter_mut().rev() {
        *place = b"0123456789abcdefghijklmnopqrstuv"[(value % 32) as usize];
        value /= 32;
    }
    out.into_iter().map(char::from).collect()
}

/// %u: two characters of the set's number and six of its time.
pub fn short(set_stamp: u32, set_count: u32) -> String {
    base32(u64::from(set_count), 2) + &base32(u64::from(set_stamp), 6)
}

/// %F: `c-DBID-YYYYMMDD-QQ`, QQ in hexadecimal.
pub fn autobackup(dbid: u32, day: u32, number: u32) -> String {
    format!("c-{dbid}-{day:08}-{number:02x}")
}

impl Naming {
    /// The name that a format makes.
    pub fn expand(&self, format: &str) -> PathBuf {
        let mut out = String::new();
        let mut chars = format.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            let u = || short(self.set_stamp, self.set_count);
            match chars.next() {
                Some('U') if self.old_u => out.push_str(&format!("{}_{}_{}", u(), self.piece, self.copy)),
                Some('U') => {
                    out.push_str(&format!("{}_{}_{}_{}", u(), self.set_count, self.piece, self.copy));
                }
                Some('u') => out.push_str(&u()),
                Some('s') => out.push_str(&self.set_count.to_string()),
                Some('p') => out.push_str(&self.piece.to_string()),
                Some('c') => out.push_str(&self.copy.to_string()),
                Some('t') => out.push_str(&self.set_stamp.to_string()),
                Some('d') => out.push_str(&self.db_name),
                Some('n') => out.push_str(&format!("{:x<8}", self.db_name)),
                Some('I') => out.push_str(&self.dbid.to_string()),
                Some('T') => out.push_str(&self.now.format("%Y%m%d").to_string()),
                Some('D') => out.push_str(&self.now.format("%d").to_string()),
                Some('M') => out.push_str(&self.now.format("%m").to_string()),
                Some('Y') => out.push_str(&self.now.format("%Y").to_string()),
                Some('F') => {
                    let (day, number) = self.autobackup.unwrap_or_default();
                    out.push_str(&autobackup(self.dbid, day, number));
                }
                // Of image copies and of single files, which have no meaning for a set.
                Some('N' | 'f' | 'e' | 'h' | 'a' | 'b') => {}
                Some('%') => out.push('%'),
                Some(other) => {
                    out.push('%');
                    out.push(other);
                }
                None => out.push('%'),
            }
        }
        PathBuf::from(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_look_like_those_of_real_databases() {
        let mut naming = Naming {
            db_name: "ORCL".into(),
            dbid: 1_269_851_242,
            set_stamp: 1_214_118_625,
            set_count: 23375,
            piece: 1,
            copy: 1,
            now: chrono::NaiveDate::from_ymd_opt(2025, 10, 9).unwrap().and_hms_opt(19, 22, 52).unwrap(),
            autobackup: Some((20_251_009, 14)),
            old_u: false,
        };
        let name = |n: &Naming, f: &str| n.expand(f).to_string_lossy().into_owned();
        let long = name(&naming, "%U");
        assert_eq!(long.len(), "qf45qvn1_23375_1_1".len());
        assert!(long.ends_with("_23375_1_1"), "{long}");
        assert_eq!(name(&naming, "/b/%d_%T_%s_%p_%%"), "/b/ORCL_20251009_23375_1_%");
        assert_eq!(name(&naming, "auto_%F"), "auto_c-1269851242-20251009-0e");
        naming.old_u = true;
        assert_eq!(name(&naming, "%U").split('_').count(), 3);
    }
}
