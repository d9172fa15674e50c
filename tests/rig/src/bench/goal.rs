//! What the issue asks for, and whether it was reached.

use std::fmt;

/// One goal with what was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Goal {
    pub what: String,
    pub measured: f64,
    pub limit: f64,
    /// The figure must not be above the limit; else not below it.
    pub at_most: bool,
    pub unit: &'static str,
}

impl Goal {
    /// A figure that must not be larger than `limit`.
    pub fn at_most(what: impl Into<String>, measured: f64, limit: f64, unit: &'static str) -> Self {
        Self { what: what.into(), measured, limit, at_most: true, unit }
    }

    /// A figure that must not be smaller than `limit`.
    pub fn at_least(what: impl Into<String>, measured: f64, limit: f64, unit: &'static str) -> Self {
        Self { what: what.into(), measured, limit, at_most: false, unit }
    }

    pub fn is_met(&self) -> bool {
        if self.at_most {
            self.measured <= self.limit
        } else {
            self.measured >= self.limit
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.is_met() { "ok    " } else { "MISSED" };
        let sign = if self.at_most { "at most" } else { "at least" };
        let Self { what, measured, limit, unit, .. } = self;
        write!(f, "{word}  {what}: {measured:.2}{unit} ({sign} {limit}{unit})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_has_a_side() {
        assert!(Goal::at_most("x", 1.5, 1.5, "×").is_met());
        assert!(!Goal::at_most("x", 1.51, 1.5, "×").is_met());
        assert!(Goal::at_least("x", 25.0, 25.0, "×").is_met());
        assert!(!Goal::at_least("x", 24.9, 25.0, "×").is_met());
        assert!(!Goal::at_least("x", f64::NAN, 25.0, "×").is_met());
        assert_eq!(
            Goal::at_most("a by b", 2.0, 1.5, "×").to_string(),
            "MISSED  a by b: 2.00× (at most 1.5×)"
        );
    }
}
