//! Joins Envoy's response flags: what ended an exchange, with what happened to it before.
//!
//! The flags are metric labels, so each combination is one of a closed set of texts.

/// For each flag that may have company: it alone, delayed, out of retries, and both.
macro_rules! joined {
    ($base:expr, $delayed:expr, $exhausted:expr, [$($flag:literal),*]) => {
        match ($base, $delayed, $exhausted) {
            (base, false, false) => base,
            ("-", true, false) => "DI",
            ("-", false, true) => "URX",
            ("-", true, true) => "DI,URX",
            $(
                ($flag, true, false) => concat!("DI,", $flag),
                ($flag, false, true) => concat!($flag, ",URX"),
                ($flag, true, true) => concat!("DI,", $flag, ",URX"),
            )*
            (base, _, _) => base,
        }
    };
}

/// The flag of the end, with DI when the request was delayed and URX when no try was left.
pub(super) fn joined(base: &'static str, delayed: bool, exhausted: bool) -> &'static str {
    joined!(base, delayed, exhausted, ["UF", "UC", "UT", "UPE", "UO", "UH", "FI", "NC", "DC"])
}

#[cfg(test)]
mod tests {
    use super::joined;

    #[test]
    fn flags_are_joined_as_envoy_prints_them() {
        assert_eq!(joined("UF", false, false), "UF");
        assert_eq!(joined("UF", false, true), "UF,URX");
        assert_eq!(joined("-", true, false), "DI");
        assert_eq!(joined("UT", true, true), "DI,UT,URX");
    }
}
