//! The hosts of a shard.

use promote::ShardHosts;

use super::human::count;

/// Returns a line with the destination hosts of a shard: `shard 0/4: 2 of 5 hosts: a.example, b.example`.
pub(crate) fn shard_line(hosts: &ShardHosts) -> String {
    let (here, all) = (count(hosts.hosts().len() as u64), count(hosts.all() as u64));
    let names: Vec<&str> = hosts.hosts().iter().map(oci::Host::as_str).collect();
    let names = if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) };
    format!("shard {}: {here} of {all} hosts{names}\n", hosts.shard())
}
