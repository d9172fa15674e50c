//! Whose end counts: the tools that feed this run, and not the runs of past nights that manifests bring with them.
//!
//! A tool writes its `run_begin` before it passes anything on and its `run_end` last, and its status is the worst of its own
//! and of those before it. So the outermost bracket tells of the whole pipeline; what is inside is of a tool further up, or
//! of a night long ago. A manifest that is read as it is stored begins with s3-put's `run_begin`, which nothing ends.

use common::exit::Exit;

use super::records::{self, LineRef, Told, Without};

type Run = (String, String);

/// Keeps account of the brackets in the input.
#[derive(Debug)]
pub struct Producers {
    /// Runs that began and have not ended, in the order of their beginnings.
    open: Vec<Run>,
    worst: Exit,
}

impl Default for Producers {
    fn default() -> Self {
        Self { open: Vec::new(), worst: Exit::Success }
    }
}

impl Producers {
    /// Looks at a line of any kind.
    pub fn line(&mut self, raw: &[u8]) {
        match records::read(raw, LineRef::default(), &Without::default()) {
            Told::Begin(tool, run) => self.begin(&tool, &run),
            Told::End(tool, run, exit) => self.end(&tool, &run, exit),
            _ => {}
        }
    }

    pub fn begin(&mut self, tool: &str, run: &str) {
        let key = (tool.to_owned(), run.to_owned());
        if !self.open.contains(&key) {
            self.open.push(key);
        }
    }

    pub fn end(&mut self, tool: &str, run: &str, exit: i64) {
        let at = self.open.iter().position(|(t, r)| t == tool && r == run);
        let around = &self.open[..at.unwrap_or(self.open.len())];
        if feeds_us(tool, around) {
            self.worst = self.worst.worse(Exit::from_code(exit));
        }
        if let Some(at) = at {
            // What it was fed by, and did not see the end of, is in its own status.
            let inner = match feeds_us(tool, around) {
                true => self.open.len(),
                false => at + 1,
            };
            self.open.drain(at..inner);
        }
    }

    /// The worst status of the runs that feed us.
    pub fn worst(&self) -> Exit {
        self.worst
    }

    /// Those that began and did not end: at the end of the input they have died.
    pub fn died(&self) -> Vec<String> {
        let died = |(at, (tool, run)): (usize, &Run)| {
            feeds_us(tool, &self.open[..at]).then(|| format!("{tool} (run {run})"))
        };
        self.open.iter().enumerate().filter_map(died).collect()
    }
}

/// s3-get feeds us whatever a manifest before it has left open; rman-run does where it stands for itself.
fn feeds_us(tool: &str, around: &[Run]) -> bool {
    match tool {
        "s3-get" => around.iter().all(|(t, _)| t != "s3-get"),
        "rman-run" => around.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "+tool run", "-tool run exit".
    fn after(steps: &[&str]) -> (Exit, Vec<String>) {
        let mut producers = Producers::default();
        for step in steps {
            let words: Vec<&str> = step[1..].split(' ').collect();
            match step.starts_with('+') {
                true => producers.begin(words[0], words[1]),
                false => producers.end(words[0], words[1], words[2].parse().unwrap()),
            }
        }
        (producers.worst(), producers.died())
    }

    #[test]
    fn the_outermost_run_counts() {
        let nothing: Vec<String> = Vec::new();
        assert_eq!(after(&["+s3-get a", "-s3-get a 2"]), (Exit::Failed, nothing.clone()));
        assert_eq!(after(&["+rman-run a", "-rman-run a 5"]), (Exit::Finding, nothing.clone()));
        assert_eq!(after(&["-s3-get a 2"]), (Exit::Failed, nothing.clone()));
        assert_eq!(after(&["+s3-get a"]), (Exit::Success, vec!["s3-get (run a)".to_owned()]));
        assert_eq!(after(&["+rman-run a"]), (Exit::Success, vec!["rman-run (run a)".to_owned()]));
        assert_eq!(after(&["+s3-get b", "+rman-run a", "-s3-get b 2"]), (Exit::Failed, nothing));
        let both = vec!["s3-get (run b)".to_owned()];
        assert_eq!(after(&["+s3-get b", "+rman-run a"]), (Exit::Success, both));
    }

    #[test]
    fn a_night_long_ago_does_not() {
        let nothing: Vec<String> = Vec::new();
        let night = ["+s3-put p", "+rman-run old", "-rman-run old 2"];
        assert_eq!(after(&night), (Exit::Success, nothing.clone()));
        let mut fetched = vec!["+s3-get g"];
        fetched.extend(night);
        fetched.extend(["+s3-put q", "+rman-run killed", "-s3-get g 0"]);
        assert_eq!(after(&fetched), (Exit::Success, nothing.clone()));
        let mut before = night.to_vec();
        before.extend(["+s3-get g", "-s3-get g 2"]);
        assert_eq!(after(&before), (Exit::Failed, nothing));
    }
}
