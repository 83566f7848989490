//! Templates: texts with names in braces.

/// Replaces the names in braces of a template.
pub(super) fn fill(template: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(template.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_filled_by_name() {
        let values = [("base", "http://a"), ("path", "/v2/")];
        assert_eq!(fill("{base}{path}?x={other}", &values), "http://a/v2/?x={other}");
    }
}
