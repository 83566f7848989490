//! The gate lets nothing through: random findings, statements, rules and scans against a naive oracle.
