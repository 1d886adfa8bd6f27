//! Reading what the parts are told to do.

use clap::builder::RangedU64ValueParser;

/// A number of what there has to be some of: of no sessions, rounds or seconds nothing is measured.
pub(crate) fn one_or_more<T: TryFrom<u64> + Clone + Send + Sync>() -> RangedU64ValueParser<T> {
    at_least(1)
}

/// A number of what fewer would measure something else.
pub(crate) fn at_least<T: TryFrom<u64> + Clone + Send + Sync>(
    fewest: u64,
) -> RangedU64ValueParser<T> {
    RangedU64ValueParser::new().range(fewest..)
}
