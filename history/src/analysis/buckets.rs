//! Items by bucket, in their order, in two flat vectors: a counting sort.

#[derive(Debug, Default)]
pub(crate) struct Buckets {
    starts: Vec<u32>,
    items: Vec<u32>,
}

impl Buckets {
    /// Puts item `i` into bucket `bucket(i)`; `None` leaves it out.
    pub(crate) fn new(buckets: usize, items: usize, bucket: impl Fn(usize) -> Option<usize>) -> Self {
        let mut starts = vec![0u32; buckets + 1];
        for item in 0..items {
            if let Some(bucket) = bucket(item) {
                starts[bucket + 1] += 1;
            }
        }
        for bucket in 0..buckets {
            starts[bucket + 1] += starts[bucket];
        }
        let mut next = starts.clone();
        let mut list = vec![0; starts[buckets] as usize];
        for item in 0..items {
            if let Some(bucket) = bucket(item) {
                list[next[bucket] as usize] = item as u32;
                next[bucket] += 1;
            }
        }
        Self { starts, items: list }
    }

    /// The items of a bucket, in their order.
    pub(crate) fn of(&self, bucket: usize) -> &[u32] {
        &self.items[self.starts[bucket] as usize..self.starts[bucket + 1] as usize]
    }

    /// How many buckets there are.
    pub(crate) fn len(&self) -> usize {
        self.starts.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::Buckets;

    #[test]
    fn keeps_the_order_within_a_bucket() {
        let places = [Some(1), None, Some(0), Some(1)];
        let buckets = Buckets::new(3, places.len(), |item| places[item]);
        assert_eq!((0..buckets.len()).map(|b| buckets.of(b)).collect::<Vec<_>>(), [&[2][..], &[0, 3], &[]]);
    }
}
