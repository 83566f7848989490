//! Issuers of identity tokens.

/// An issuer of identity tokens. Each has keys of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Issuer {
    /// The issuer in the signing configurations. Fulcio takes its tokens for e-mail addresses.
    Usual,
    /// Another issuer whose tokens Fulcio takes for e-mail addresses.
    Other,
    /// Fulcio takes its tokens for workloads of the SPIFFE trust domain `kpromo.test`.
    Workload,
    /// Fulcio takes its tokens for GitHub workflows.
    Workflow,
    /// Fulcio does not know this issuer.
    Stranger,
}
