//! MetadataLogMatching: what any node takes for committed of the metadata log is committed.

use crate::{
    kafka::{Kafka, Touch},
    kernel::Invariant,
};
use squall_bus::Time;

/// Compares every node's committed metadata with the longest.
#[derive(Debug, Default)]
pub(super) struct MetadataMatching {
    /// Up to here all nodes were found equal.
    compared: u64,
}

/// Compares from `from` on; how far all nodes have got.
fn compare(model: &Kafka, from: u64) -> Result<u64, String> {
    let Some(longest) = model.servers.iter().max_by_key(|server| server.voter.committed()) else {
        return Ok(0);
    };
    let mut least = longest.voter.committed();
    for server in &model.servers {
        let committed = server.voter.committed();
        least = least.min(committed);
        let range = from.min(committed) as usize..committed as usize;
        let mine = server.voter.log().get(range.clone()).unwrap_or_default();
        let theirs = &longest.voter.log()[range];
        let equal = |(a, b): (&crate::kafka::quorum::MetadataBatch, &crate::kafka::quorum::MetadataBatch)| {
            a.epoch == b.epoch && std::sync::Arc::ptr_eq(&a.records, &b.records)
        };
        if mine.len() != theirs.len() || !mine.iter().zip(theirs).all(equal) {
            let (a, b) = (server.me.0 + 1, longest.me.0 + 1);
            return Err(format!("nodes {a} and {b} differ in what they take for committed metadata"));
        }
    }
    Ok(least)
}

impl Invariant<Kafka> for MetadataMatching {
    fn name(&self) -> &'static str {
        "MetadataLogMatching"
    }

    fn source(&self) -> &'static str {
        "kafka-tlaplus; the KRaft specification's CommittedLogMatching"
    }

    fn kinds(&self) -> u8 {
        Touch::PARTITION
    }

    fn after(&mut self, model: &Kafka, touched: &[Touch], _: Time) -> Result<(), String> {
        if touched.iter().any(|touch| matches!(touch, Touch::Partition(_))) {
            self.compared = self.compared.max(compare(model, self.compared)?);
        }
        Ok(())
    }

    fn full(&self, model: &Kafka) -> Result<(), String> {
        compare(model, 0).map(drop)
    }
}
