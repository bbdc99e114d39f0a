//! A vector and a file of them, as they stand in `spec/vectors/*.json`.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::answer::{Answer, Class};

/// One request, and the one right answer to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Vector {
    /// Its name, for ever: `family-number`.
    pub id: String,
    /// What it shows, in a few words.
    pub shows: String,
    /// The requirements that it is about.
    pub requirements: Vec<String>,
    /// What is asked.
    pub op: String,
    /// Of what.
    pub input: Value,
    /// The one right answer: a value or an error class.
    pub want: Answer,
}

/// A family of vectors: one file.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// Its name, and its file's.
    pub name: String,
    /// What it is about, in a sentence.
    pub about: String,
    /// Its vectors.
    pub vectors: Vec<Vector>,
}

impl Vector {
    /// The line that asks a shim, without its end.
    #[must_use]
    pub fn to_request(&self, family: &str) -> String {
        json!({ "id": self.id, "family": family, "op": self.op, "input": self.input }).to_string()
    }

    /// Whether a refusal is wanted.
    #[must_use]
    pub const fn is_negative(&self) -> bool {
        matches!(self.want, Answer::Error(_))
    }

    fn to_text(&self) -> String {
        let want = match &self.want {
            Answer::Error(class) => format!("\"error\": {}", json!(class.name())),
            Answer::Ok(value) => format!("\"ok\": {value}"),
            Answer::Unimplemented(why) => format!("\"unimplemented\": {}", json!(why)),
        };
        let Self { id, shows, requirements, op, input, .. } = self;
        let (id, shows, requirements, op) = (json!(id), json!(shows), json!(requirements), json!(op));
        format!(
            "    {{ \"id\": {id}, \"shows\": {shows}, \"requirements\": {requirements},\n      \"op\": {op}, \"input\": {input},\n      {want} }}"
        )
    }

    fn parse(value: &Value) -> Option<Self> {
        let text = |name| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let want = match (value.get("ok"), value.get("error")) {
            (Some(ok), None) => Answer::Ok(ok.clone()),
            (None, Some(error)) => Answer::Error(Class::parse(error.as_str()?)?),
            _ => return None,
        };
        let requirements = value.get("requirements")?.as_array()?;
        Some(Self {
            id: text("id")?,
            shows: text("shows")?,
            requirements: requirements.iter().map(|id| id.as_str().map(str::to_owned)).collect::<Option<_>>()?,
            op: text("op")?,
            input: value.get("input")?.clone(),
            want,
        })
    }
}

impl Family {
    /// How many of its vectors want a refusal.
    #[must_use]
    pub fn negative(&self) -> usize {
        self.vectors.iter().filter(|vector| vector.is_negative()).count()
    }

    /// The file's text: the same for the same family, on any machine.
    #[must_use]
    pub fn to_text(&self) -> String {
        let vectors: Vec<String> = self.vectors.iter().map(Vector::to_text).collect();
        let (name, about) = (json!(self.name), json!(self.about));
        format!(
            "{{\n  \"family\": {name},\n  \"about\": {about},\n  \"vectors\": [\n{}\n  ]\n}}\n",
            vectors.join(",\n")
        )
    }

    /// Reads a file's text.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|why| why.to_string())?;
        let member = |name| value.get(name).and_then(Value::as_str).map(str::to_owned).ok_or(format!("no {name}"));
        let list = value.get("vectors").and_then(Value::as_array).ok_or("no vectors")?;
        let read = |(at, vector)| Vector::parse(vector).ok_or(format!("vector {at} is malformed"));
        let vectors = list.iter().enumerate().map(read).collect::<Result<_, _>>()?;
        Ok(Self { name: member("family")?, about: member("about")?, vectors })
    }

    /// Reads every family of a directory, in the order of their names.
    ///
    /// # Errors
    /// The file that can't be read, and why.
    pub fn read_all(dir: &Path) -> Result<Vec<Self>, String> {
        let said = |path: &Path, why: &dyn core::fmt::Display| format!("{}: {why}", path.display());
        let entries = std::fs::read_dir(dir).map_err(|why| said(dir, &why))?;
        let mut paths: Vec<PathBuf> = entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()
            .map_err(|why| said(dir, &why))?;
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        paths.sort();
        let read = |path: &PathBuf| {
            let text = std::fs::read_to_string(path).map_err(|why| said(path, &why))?;
            Self::parse(&text).map_err(|why| said(path, &why))
        };
        paths.iter().map(read).collect()
    }
}
