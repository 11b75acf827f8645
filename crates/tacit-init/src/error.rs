//! Why the machine is turned off before the worker starts.

/// The first thing that did not work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Failure {
    /// A setting that is not known, or not well formed.
    #[error("setting {0}")]
    Setting(#[from] crate::settings::SettingError),
    /// A file of the image, or of the kernel's interfaces.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: String,
        /// What the kernel says.
        error: std::io::Error,
    },
    /// A step that the kernel refused.
    #[error("{step}: {error}")]
    Step {
        /// Which.
        step: &'static str,
        /// What the kernel says.
        error: rustix::io::Errno,
    },
    /// A disk that does not appear.
    #[error("no disk {0} within {1} seconds")]
    NoDisk(&'static str, u64),
    /// What the operator gives.
    #[error("the operator's disk: {0}")]
    Operator(#[from] crate::operator::OperatorError),
    /// An engine that ended before it could be asked.
    #[error("the engine ended: {0}")]
    EngineEnded(std::process::ExitStatus),
    /// An engine that does not answer.
    #[error("the engine cannot be asked within {0} seconds")]
    EngineSilent(u64),
}

/// Names the step that failed.
pub(crate) trait During<T> {
    /// Names it.
    fn during(self, step: &'static str) -> Result<T, Failure>;
}

impl<T> During<T> for Result<T, rustix::io::Errno> {
    fn during(self, step: &'static str) -> Result<T, Failure> {
        self.map_err(|error| Failure::Step { step, error })
    }
}

/// Names the file that failed.
pub(crate) trait At<T> {
    /// Names it.
    fn at(self, path: &str) -> Result<T, Failure>;
}

impl<T> At<T> for std::io::Result<T> {
    fn at(self, path: &str) -> Result<T, Failure> {
        self.map_err(|error| Failure::File { path: path.to_owned(), error })
    }
}
