//! Names of the days of the week, as the original export script put them into file names.

use chrono::Weekday;
use clap::ValueEnum;

/// Language of the names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Language {
    Pt,
    En,
}

/// `segunda-feira` … `domingo`, from Monday on.
pub const PT: [&str; 7] =
    ["segunda-feira", "terça-feira", "quarta-feira", "quinta-feira", "sexta-feira", "sábado", "domingo"];
/// `monday` … `sunday`.
pub const EN: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// The name of a day.
pub fn name(day: Weekday, language: Language) -> &'static str {
    let names = match language {
        Language::Pt => PT,
        Language::En => EN,
    };
    names[day.num_days_from_monday() as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_has_its_name_in_both_languages() {
        let week = [
            Weekday::Mon,
            Weekday::Tue,
            Weekday::Wed,
            Weekday::Thu,
            Weekday::Fri,
            Weekday::Sat,
            Weekday::Sun,
        ];
        assert_eq!(week.map(|day| name(day, Language::Pt)), PT);
        assert_eq!(week.map(|day| name(day, Language::En)), EN);
    }
}
