//! A preset's parameters as the operator filled them in.

use indexmap::IndexMap;

use super::Parameter;
use crate::config::reader::Section;

/// The preset's parameters as the operator filled them in.
pub(in crate::config) struct Filled {
    pub(in crate::config) single: IndexMap<String, String>,
    pub(in crate::config) lists: IndexMap<String, Vec<String>>,
    /// Whether a parameter is wrong, so that what is made of it would be wrong as well.
    pub(in crate::config) broken: bool,
}

impl Filled {
    pub(in crate::config) fn read<'p>(
        section: &Section<'_>,
        parameters: impl IntoIterator<Item = (&'p String, &'p Parameter)>,
    ) -> Self {
        let mut filled = Self { single: IndexMap::new(), lists: IndexMap::new(), broken: false };
        for (key, parameter) in parameters {
            let parse = |written: String| {
                if parameter.pattern.is_match(&written) {
                    Ok(written)
                } else {
                    Err(parameter.explain("must be"))
                }
            };
            if !section.has(key) {
                if parameter.required {
                    filled.broken = true;
                    section.problem(key, parameter.explain("is missing:"));
                }
                filled.single.extend(parameter.default.clone().map(|value| (key.clone(), value)));
            }
            if parameter.list {
                let given = section.restriction(key, parse);
                filled.broken |= given.len() != section.count(key);
                filled.lists.insert(key.clone(), given);
            } else {
                let given = section.optional(key, parse);
                filled.broken |= given.is_none() && section.has(key);
                filled.single.extend(given.map(|value| (key.clone(), value)));
            }
        }
        filled
    }
}

impl Parameter {
    /// `must be the host of your organization, such as acme.example.com (top right in the console)`
    fn explain(&self, verb: &str) -> String {
        let place = self.place.as_ref().map(|place| format!(" ({place})")).unwrap_or_default();
        format!("{verb} {}, such as {}{place}", self.description, self.example)
    }
}
