//! The formats of snapshots. YAML and CSV are byte for byte those of the Go tool.

use std::io::{self, Write};

use super::Snapshot;

/// A format of snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The `images` of a plain manifest, in the format of the Go tool.
    Yaml,
    /// A line for each tag and each untagged digest, in the format of the Go tool.
    Csv,
    /// The structure of [`Format::Yaml`] as JSON.
    Json,
}

impl Snapshot {
    /// Writes the snapshot, one image after another.
    ///
    /// # Errors
    /// Returns the errors of `to`.
    pub fn write(&self, format: Format, to: &mut dyn Write) -> io::Result<()> {
        match format {
            Format::Yaml => self.write_yaml(to)?,
            Format::Csv => self.write_csv(to)?,
            Format::Json => return self.write_json(to),
        }
        // The Go tool ends its output with an empty line.
        writeln!(to)
    }

    // Names, digests and tags consist of characters that need no escape in any of the formats.

    fn write_yaml(&self, to: &mut dyn Write) -> io::Result<()> {
        for (name, contents) in self.images() {
            writeln!(to, "- name: {name}\n  dmap:")?;
            for entry in contents.entries() {
                write!(to, "    \"{}\": [", entry.digest())?;
                write_tags(entry.tags(), ", ", to)?;
                writeln!(to, "]")?;
            }
        }
        Ok(())
    }

    fn write_csv(&self, to: &mut dyn Write) -> io::Result<()> {
        for (name, contents) in self.images() {
            for entry in contents.entries() {
                let digest = entry.digest();
                if !entry.is_tagged() {
                    writeln!(to, "{name}@{digest},-")?;
                }
                for tag in entry.tags() {
                    writeln!(to, "{name}@{digest},{name}:{tag}")?;
                }
            }
        }
        Ok(())
    }

    fn write_json(&self, to: &mut dyn Write) -> io::Result<()> {
        write!(to, "[")?;
        for (number, (name, contents)) in self.images().enumerate() {
            let separator = if number == 0 { "" } else { "," };
            write!(to, "{separator}\n  {{\n    \"name\": \"{name}\",\n    \"dmap\": {{")?;
            for (number, entry) in contents.entries().iter().enumerate() {
                let separator = if number == 0 { "" } else { "," };
                write!(to, "{separator}\n      \"{}\": [", entry.digest())?;
                write_tags(entry.tags(), ", ", to)?;
                write!(to, "]")?;
            }
            write!(to, "\n    }}\n  }}")?;
        }
        let end = if self.images.is_empty() { "]" } else { "\n]" };
        writeln!(to, "{end}")
    }
}

fn write_tags<'a>(
    tags: impl Iterator<Item = &'a str>,
    separator: &str,
    to: &mut dyn Write,
) -> io::Result<()> {
    for (number, tag) in tags.enumerate() {
        let separator = if number == 0 { "" } else { separator };
        write!(to, "{separator}\"{tag}\"")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use oci::Digest;

    use super::super::Contents;
    use super::*;

    fn written(snapshot: &Snapshot, format: Format) -> String {
        let mut bytes = Vec::new();
        snapshot.write(format, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_output_has_the_format_of_the_go_tool() {
        let (a, b) = (Digest::Sha256([0xaa; 32]), Digest::Sha256([0xbb; 32]));
        let (hex_a, hex_b) = ("aa".repeat(32), "bb".repeat(32));
        let mut snapshot = Snapshot::default();
        let tags = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect();
        snapshot.insert("b/c", Contents::new([(b, tags(&["v2", "latest"])), (a, tags(&[]))]));
        snapshot.insert("", Contents::new([(a, tags(&["v1"]))]));
        snapshot.insert("b-d", Contents::new([(a, tags(&["v1"]))]));
        snapshot.insert("empty", Contents::new([]));
        let yaml = format!(
            "- name: \n  dmap:\n    \"sha256:{hex_a}\": [\"v1\"]\n\
             - name: b-d\n  dmap:\n    \"sha256:{hex_a}\": [\"v1\"]\n\
             - name: b/c\n  dmap:\n    \"sha256:{hex_a}\": []\n    \"sha256:{hex_b}\": [\"latest\", \"v2\"]\n\n"
        );
        assert_eq!(written(&snapshot, Format::Yaml), yaml);
        let csv = format!(
            "@sha256:{hex_a},:v1\nb-d@sha256:{hex_a},b-d:v1\nb/c@sha256:{hex_a},-\n\
             b/c@sha256:{hex_b},b/c:latest\nb/c@sha256:{hex_b},b/c:v2\n\n"
        );
        assert_eq!(written(&snapshot, Format::Csv), csv);
        let json: serde_json::Value = serde_json::from_str(&written(&snapshot, Format::Json)).unwrap();
        assert_eq!(
            json[2],
            serde_json::json!({ "name": "b/c", "dmap": { a.to_string(): [], b.to_string(): ["latest", "v2"] } })
        );
    }

    #[test]
    fn an_empty_snapshot_is_an_empty_line_or_an_empty_list() {
        let empty = Snapshot::default();
        assert_eq!(written(&empty, Format::Yaml), "\n");
        assert_eq!(written(&empty, Format::Csv), "\n");
        assert_eq!(written(&empty, Format::Json), "[]\n");
    }
}
