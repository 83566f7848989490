//! Issuers of identity tokens.

/// An issuer of identity tokens. Each has its own keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Issuer {
    /// The issuer in the signing configurations. Fulcio accepts its tokens for e-mail addresses.
    Usual,
    /// Another issuer whose tokens Fulcio accepts for e-mail addresses.
    Other,
    /// Fulcio accepts its tokens for workloads of the SPIFFE trust domain `kpromo.test`.
    Workload,
    /// Fulcio accepts its tokens for GitHub workflows.
    Workflow,
    /// Fulcio does not know this issuer.
    Stranger,
}
