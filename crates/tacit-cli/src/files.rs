//! Open files, of which each connection is one.

/// Allows as many as the system lets this process have. Many systems begin with 1,024, for programs that use `select`.
pub(crate) fn allow_many() {
    #[cfg(unix)]
    {
        use nix::sys::resource::{Resource, getrlimit, setrlimit};
        let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(current, most)| {
            if current < most { setrlimit(Resource::RLIMIT_NOFILE, most, most) } else { Ok(()) }
        });
        if let Err(error) = raised {
            tracing::debug!(%error, "no more open files are to be had");
        }
    }
}
