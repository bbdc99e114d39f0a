//! Makes the vectors from fixed seeds: what is asked, and which refusals are right, is written here; values are this
//! implementation's, and a second implementation is what they are compared with.

mod attachments;
mod content;
mod controls;
mod dial;
mod fields;
mod frames;
mod groups;
mod logs;
mod marks;
mod memos;
mod mint;
mod names;
mod people;
mod sealed;
mod sessions;
mod signed;
mod snapshots;
mod talks;
mod transcripts;
mod whispers;

use std::path::Path;

use serde_json::Value;

use crate::answer::{Answer, Class};
use crate::ours;
use crate::vector::{Family, Vector};

/// Every family, in the order of their names.
///
/// # Errors
/// A vector that this implementation answers in another way than is written here.
pub fn families() -> Result<Vec<Family>, String> {
    let made = [
        signed::accepts(),
        names::addresses(),
        attachments::attachments(),
        dial::codes(),
        content::content(),
        controls::controls(),
        dial::dial(),
        fields::field(),
        frames::frames(),
        groups::groups(),
        signed::ids(),
        logs::logs(),
        marks::marks(),
        memos::memos(),
        signed::offers(),
        people::people(),
        sealed::sealed(),
        sessions::sessions(),
        snapshots::snapshots(),
        talks::talks(),
        transcripts::transcripts(),
        whispers::whispers(),
    ];
    made.into_iter().map(Making::done).collect()
}

/// Writes every family's file into `dir`.
///
/// # Errors
/// Those of [`families`], and a file that can't be written.
pub fn write(dir: &Path) -> Result<Vec<Family>, String> {
    let families = families()?;
    for family in &families {
        let path = dir.join(format!("{}.json", family.name));
        std::fs::write(&path, family.to_text()).map_err(|why| format!("{}: {why}", path.display()))?;
    }
    Ok(families)
}

/// A family under way.
struct Making {
    family: Family,
    wrong: Vec<String>,
}

impl Making {
    fn new(name: &str, about: &str) -> Self {
        let family = Family { name: name.to_owned(), about: about.to_owned(), vectors: Vec::new() };
        Self { family, wrong: Vec::new() }
    }

    /// A request that has a value; gives the value.
    fn good(&mut self, op: &str, requirements: &[&str], shows: &str, input: Value) -> Value {
        let got = ours::answer(op, &input);
        if !matches!(got, Answer::Ok(_)) {
            self.wrong.push(format!("{op}, {shows}: {got}, want a value"));
        }
        let value = if let Answer::Ok(value) = &got { value.clone() } else { Value::Null };
        self.push(op, requirements, shows, input, got);
        value
    }

    /// A request that is refused.
    fn bad(&mut self, op: &str, requirements: &[&str], shows: &str, class: Class, input: Value) {
        let (got, want) = (ours::answer(op, &input), Answer::Error(class));
        if got != want {
            self.wrong.push(format!("{op}, {shows}: {got}, want {want}"));
        }
        self.push(op, requirements, shows, input, want);
    }

    fn push(&mut self, op: &str, requirements: &[&str], shows: &str, input: Value, want: Answer) {
        self.family.vectors.push(Vector {
            id: format!("{}-{:03}", self.family.name, self.family.vectors.len() + 1),
            shows: shows.to_owned(),
            requirements: requirements.iter().map(ToString::to_string).collect(),
            op: op.to_owned(),
            input,
            want,
        });
    }

    fn done(self) -> Result<Family, String> {
        if self.wrong.is_empty() { Ok(self.family) } else { Err(self.wrong.join("\n")) }
    }
}
