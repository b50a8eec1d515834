//! The tools: a person's notes, kept in memory. Each tool has its scope, and the guard has checked it before a tool
//! runs; what a tool asks for is the [`Caller`], so that everyone sees her own notes only.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::http::request::Parts;
use rmcp::{
    ErrorData, ServerHandler,
    handler::server::{common::Extension, wrapper::Parameters},
    tool, tool_handler, tool_router,
};
use schemars::JsonSchema;
use serde::Deserialize;

use super::token::Caller;

/// The scope of `read_notes`, and the one that a first 401 asks for.
pub const READ: &str = "notes:read";
/// The scope of `write_note`.
pub const WRITE: &str = "notes:write";

/// The most notes kept; the oldest makes room.
const MAX_NOTES: usize = 100;
/// The longest note.
const MAX_NOTE_CHARS: usize = 1000;

/// The scope that a tool needs. Every tool has one; a name without is no tool of ours and the SDK refuses it.
pub(super) fn scope_of(tool: &str) -> Option<&'static str> {
    match tool {
        "read_notes" => Some(READ),
        "write_note" => Some(WRITE),
        _ => None,
    }
}

#[derive(Debug, Clone)]
struct Note {
    owner: String,
    text: String,
}

/// The server, cloned for each request around the same notes.
#[derive(Debug, Clone, Default)]
pub(super) struct Notes(Arc<Mutex<VecDeque<Note>>>);

impl Notes {
    fn open(&self) -> MutexGuard<'_, VecDeque<Note>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Deserialize, JsonSchema)]
struct NewNote {
    /// What to write down.
    text: String,
}

#[tool_router]
impl Notes {
    /// Read the notes that you have written.
    #[tool(annotations(read_only_hint = true))]
    fn read_notes(&self, Extension(parts): Extension<Parts>) -> Result<String, ErrorData> {
        let caller = caller(&parts)?;
        let notes = self.open();
        let own: Vec<_> =
            notes.iter().filter(|note| note.owner == caller.subject).map(|note| note.text.as_str()).collect();
        Ok(if own.is_empty() { "You have no notes yet.".to_owned() } else { own.join("\n") })
    }

    /// Write a note down.
    #[tool(annotations(read_only_hint = false, destructive_hint = false))]
    fn write_note(
        &self,
        Parameters(NewNote { text }): Parameters<NewNote>,
        Extension(parts): Extension<Parts>,
    ) -> Result<String, ErrorData> {
        let caller = caller(&parts)?;
        if text.chars().count() > MAX_NOTE_CHARS {
            return Err(ErrorData::invalid_params(
                format!("a note has at most {MAX_NOTE_CHARS} characters"),
                None,
            ));
        }
        let mut notes = self.open();
        if notes.len() == MAX_NOTES {
            notes.pop_front();
        }
        notes.push_back(Note { owner: caller.subject.clone(), text });
        Ok("Noted.".to_owned())
    }
}

#[tool_handler(
    name = "chancery-sample-notes",
    instructions = "Keeps notes. Reading needs the scope notes:read, writing notes:write."
)]
impl ServerHandler for Notes {}

/// Whom the guard let in: it left the caller with the HTTP request.
fn caller(parts: &Parts) -> Result<&Caller, ErrorData> {
    parts
        .extensions
        .get::<Caller>()
        .ok_or_else(|| ErrorData::internal_error("no caller: the tools stand unguarded", None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_has_a_scope() {
        let tools = Notes::tool_router().list_all();
        assert_eq!(tools.len(), 2);
        for tool in tools {
            assert!(scope_of(&tool.name).is_some(), "{}", tool.name);
        }
    }
}
