//! Samplers from their names in recipes and on the command line.

use std::str::FromStr;

use super::{SamplerKind, ScheduleError};

impl FromStr for SamplerKind {
    type Err = ScheduleError;

    fn from_str(name: &str) -> Result<Self, ScheduleError> {
        // The web UIs' name of PNDM without Runge-Kutta steps.
        let name = if name == "plms" { Self::Pndm.name() } else { name };
        let found = Self::ALL.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| ScheduleError::UnknownSampler { name: name.into() })
    }
}

impl TryFrom<String> for SamplerKind {
    type Error = ScheduleError;

    fn try_from(name: String) -> Result<Self, ScheduleError> {
        name.parse()
    }
}
