//! Optional numbers without the cost of a tag: the highest value stands for none. Histories hold millions.

macro_rules! packed {
    ($name:ident, $number:ty) => {
        /// An optional number in the room of the number; its highest value stands for none.
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) struct $name($number);

        impl $name {
            pub(crate) const NONE: Self = Self(<$number>::MAX);

            pub(crate) const fn get(self) -> Option<$number> {
                if self.0 == <$number>::MAX { None } else { Some(self.0) }
            }
        }

        impl From<Option<$number>> for $name {
            fn from(number: Option<$number>) -> Self {
                number.map_or(Self::NONE, Self)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.get().fmt(f)
            }
        }
    };
}

packed!(Maybe32, u32);
packed!(Maybe64, u64);
