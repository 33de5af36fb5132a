//! How many files this process may have open at once; each socket is one.
//!
//! Many systems begin a process with 1,024 by the soft limit and allow far more by the hard one, which a process may ask for.

/// The system allows fewer open files than are wanted; the message names the remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{allowed} files may be open at once and {wanted} are wanted: beyond that, connections are refused. Raise the \
     hard limit (systemd: LimitNOFILE={wanted}; compose: ulimits: nofile; a shell: ulimit -Hn) or allow fewer connections"
)]
pub struct TooFewFiles {
    /// How many may be open.
    pub allowed: u64,
    /// How many are wanted.
    pub wanted: u64,
}

/// Raises the soft limit so that `wanted` files may be open, at most to the hard limit; it is never lowered.
///
/// # Errors
/// That is not enough.
#[cfg(unix)]
pub fn allow_open_files(wanted: u64) -> Result<(), TooFewFiles> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let limit = getrlimit(Resource::Nofile);
    // None is no limit.
    let [soft, hard] = [limit.current, limit.maximum].map(|limit| limit.unwrap_or(u64::MAX));
    let mut allowed = soft;
    if let Some(raised) = raised(soft, hard, wanted) {
        let limit = Rlimit {
            current: Some(raised),
            ..limit
        };
        match setrlimit(Resource::Nofile, limit) {
            Ok(()) => allowed = raised,
            Err(error) => tracing::warn!(%error, raised, "the limit of open files stays"),
        }
    }
    if allowed < wanted {
        return Err(TooFewFiles { allowed, wanted });
    }
    Ok(())
}

/// This system has no such limit.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn allow_open_files(_wanted: u64) -> Result<(), TooFewFiles> {
    Ok(())
}

/// The soft limit to ask for; none if it stays.
#[cfg(unix)]
fn raised(soft: u64, hard: u64, wanted: u64) -> Option<u64> {
    let best = wanted.min(hard);
    (best > soft).then_some(best)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_raised_as_far_as_wanted_and_allowed_and_never_lowered() {
        let cases = [
            ((1_024, 1_000_000, 14_352), Some(14_352)),
            ((1_024, 4_096, 14_352), Some(4_096)),
            ((4_096, 4_096, 14_352), None),
            ((20_000, 1_000_000, 14_352), None),
            ((u64::MAX, u64::MAX, 14_352), None),
        ];
        for ((soft, hard, wanted), expected) in cases {
            assert_eq!(raised(soft, hard, wanted), expected, "{soft} {hard}");
        }
    }

    #[test]
    fn more_than_the_system_allows_is_told_with_the_remedy() {
        allow_open_files(1).unwrap();
        let Err(error) = allow_open_files(u64::MAX) else {
            return; // No limit at all.
        };
        assert!(error.allowed > 0);
        assert!(error.to_string().contains("LimitNOFILE"), "{error}");
    }
}
