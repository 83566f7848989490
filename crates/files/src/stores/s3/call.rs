//! Requests before they are signed.

use std::borrow::Cow;
use std::collections::BTreeMap;

use http::Method;
use transport::Class;
use url::Url;

/// A request before it is signed. The signature covers its method, URL, query and headers.
#[derive(Clone, Debug)]
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) kind: &'static str,
    pub(super) class: Class,
    pub(super) query: BTreeMap<&'static str, Cow<'a, str>>,
    pub(super) headers: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    pub(super) repeats: bool,
    pub(super) is_patient: bool,
}

impl<'a> Call<'a> {
    pub(super) fn new(method: Method, url: Url, kind: &'static str, class: Class) -> Self {
        let (query, headers) = Default::default();
        Self { method, url, kind, class, query, headers, repeats: true, is_patient: false }
    }

    pub(super) fn query(&mut self, name: &'static str, value: impl Into<Cow<'a, str>>) {
        self.query.insert(name, value.into());
    }

    /// Adds a header. The name is in lower case.
    pub(super) fn header(&mut self, name: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, str>>) {
        self.headers.insert(name.into(), value.into());
    }

    /// Removes the conditions of a write.
    pub(super) fn without_conditions(&mut self) {
        self.headers.remove("if-match");
        self.headers.remove("if-none-match");
    }

    /// Leaves retries to the caller.
    pub(super) fn once(&mut self) {
        self.repeats = false;
    }

    /// Allows the body of the answer the same time as its head.
    pub(super) fn patient(&mut self) {
        self.is_patient = true;
    }
}
