//! Checks the spelling of relevant members. A member in a different case would be read as absent, and a report without it may
//! look clean.

use oci_types::json::NameRules;

use super::input::{Input, InvalidReport, short};

/// The members of an object, and those that have members of their own. Lists have the shape of their entries.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) members: &'static [&'static str],
    pub(super) objects: &'static [(&'static str, Shape)],
}

impl Shape {
    /// Refuses a document with a member that differs from a known one only in case.
    pub(super) fn check(self, input: Input<'_>) -> Result<(), InvalidReport> {
        input.check_names(self)
    }
}

impl NameRules for Shape {
    type Seen = ();

    fn member(self, name: &str, (): &mut ()) -> Result<Option<Self>, String> {
        if let Some((_, shape)) = self.objects.iter().find(|(known, _)| *known == name) {
            return Ok(Some(*shape));
        }
        let mut known = self.objects.iter().map(|(known, _)| known).chain(self.members);
        match known.find(|known| **known != name && known.eq_ignore_ascii_case(name)) {
            Some(known) => Err(format!("unknown member `{}`: the format has `{known}`", short(name))),
            None => Ok(None),
        }
    }
}
