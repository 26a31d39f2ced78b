//! Kafka's primitive types: big-endian integers, strings with an `i16` length, arrays with an `i32` length; the
//! compact forms have a varint of length + 1.

use super::WireError;

/// Builds a message.
#[derive(Debug, Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn i8(&mut self, value: i8) -> &mut Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(super) fn i16(&mut self, value: i16) -> &mut Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(super) fn i32(&mut self, value: i32) -> &mut Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(super) fn i64(&mut self, value: i64) -> &mut Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    /// Longer strings than Kafka can carry are cut; the broker will refuse what is left of the name.
    pub(super) fn string(&mut self, text: &str) -> &mut Self {
        let bytes = &text.as_bytes()[..text.len().min(i16::MAX as usize)];
        self.i16(bytes.len() as i16);
        self.0.extend(bytes);
        self
    }

    pub(super) fn compact_string(&mut self, text: &str) -> &mut Self {
        self.varint(text.len() as u32 + 1);
        self.0.extend(text.as_bytes());
        self
    }

    pub(super) fn count(&mut self, count: usize) -> &mut Self {
        self.i32(i32::try_from(count).unwrap_or(i32::MAX))
    }

    pub(super) fn varint(&mut self, mut value: u32) -> &mut Self {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
        self
    }
}

/// Reads a message.
#[derive(Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(WireError::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        self.take(N)?.try_into().map_err(|_| WireError::Malformed)
    }

    pub(super) fn i8(&mut self) -> Result<i8, WireError> {
        Ok(i8::from_be_bytes(self.array()?))
    }

    pub(super) fn i16(&mut self) -> Result<i16, WireError> {
        Ok(i16::from_be_bytes(self.array()?))
    }

    pub(super) fn i32(&mut self) -> Result<i32, WireError> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    pub(super) fn i64(&mut self) -> Result<i64, WireError> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    /// A string; an absent one is empty.
    pub(super) fn string(&mut self) -> Result<String, WireError> {
        let length = usize::try_from(self.i16()?).unwrap_or(0);
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    pub(super) fn compact_string(&mut self) -> Result<String, WireError> {
        let length = (self.varint()? as usize).saturating_sub(1);
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    /// The length of an array; an absent one has none.
    pub(super) fn count(&mut self) -> Result<usize, WireError> {
        Ok(usize::try_from(self.i32()?).unwrap_or(0))
    }

    /// An array, item by item.
    pub(super) fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, WireError>,
    ) -> Result<Vec<T>, WireError> {
        let count = self.count()?;
        (0..count).map(|_| item(self)).collect()
    }

    /// A compact array, item by item; an absent one has none.
    pub(super) fn compact_list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, WireError>,
    ) -> Result<Vec<T>, WireError> {
        let count = self.varint()?.saturating_sub(1);
        (0..count).map(|_| item(self)).collect()
    }

    pub(super) fn varint(&mut self) -> Result<u32, WireError> {
        let mut value = 0;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(WireError::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let mut writer = Writer::default();
        writer.i8(-1).i16(-2).i32(-3).i64(-4).string("orders").compact_string("ünit").varint(300).count(2);
        let mut reader = Reader(&writer.0);
        assert_eq!(reader.i8().expect("i8"), -1);
        assert_eq!(reader.i16().expect("i16"), -2);
        assert_eq!(reader.i32().expect("i32"), -3);
        assert_eq!(reader.i64().expect("i64"), -4);
        assert_eq!(reader.string().expect("string"), "orders");
        assert_eq!(reader.compact_string().expect("compact string"), "ünit");
        assert_eq!(reader.varint().expect("varint"), 300);
        assert_eq!(reader.count().expect("count"), 2);
        assert!(reader.i8().is_err());
    }

    #[test]
    fn a_length_that_lies_is_an_error() {
        assert!(Reader(&[0, 9, b'a']).string().is_err());
        assert!(Reader(&[0x7f, 0xff, 0xff, 0xff]).list(Reader::i8).is_err());
        assert!(Reader(&[0xff; 6]).varint().is_err());
        assert_eq!(Reader(&[0xff, 0xff]).string().expect("absent"), "");
    }
}
