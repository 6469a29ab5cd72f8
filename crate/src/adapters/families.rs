//! Turns the roles of a group's tensors into the family of algorithms that they belong to.

use super::delta::{Change, Part};
use super::full::Full;
use super::glora::{self, Glora};
use super::group::Group;
use super::ia3::{self, Ia3};
use super::loha::{self, Loha};
use super::lokr::{self, Lokr};
use super::lora::{self, Lora};
use super::oft::{self, Oft};
use super::read::LeftoverReason;
use crate::model::Module;
use crate::model::spelling::Role;

/// Makes a group's tensors for a layer a change, or says what does not fit.
type FromGroup = fn(&Group, &Module) -> Result<Box<dyn Change>, LeftoverReason>;

/// A family of algorithms and how its tensors become a change.
pub(super) struct Family {
    /// Its tensors.
    pub(super) roles: &'static [Role],
    /// How many of the roles, from the first, show that the family is meant.
    pub(super) identifying_roles: usize,
    pub(super) part: Part,
    /// Whether DoRA's lengths may stand beside it.
    pub(super) takes_magnitudes: bool,
    pub(super) from_group: FromGroup,
}

/// Every family. Their roles are distinct, so the order does not matter.
pub(super) const FAMILIES: &[Family] = &[
    Family { takes_magnitudes: true, ..Family::of(lora::ROLES, |group, _| Ok(Box::new(Lora::from_group(group)?))) },
    Family {
        takes_magnitudes: true,
        ..Family::of(loha::ROLES, |group, module| Ok(Box::new(Loha::recognise(group, module)?)))
    },
    Family {
        takes_magnitudes: true,
        ..Family::of(lokr::ROLES, |group, module| Ok(Box::new(Lokr::recognise(group, module)?)))
    },
    Family::of(glora::ROLES, |group, _| Ok(Box::new(Glora::from_group(group)?))),
    Family { identifying_roles: 1, ..Family::of(oft::ROLES, |group, module| Ok(Box::new(Oft::from_group(group, module)?))) },
    Family { identifying_roles: 1, ..Family::of(ia3::ROLES, |group, module| Ok(Box::new(Ia3::from_group(group, module)?))) },
    Family::of(&[Role::Diff], |group, _| full(group, Role::Diff)),
    Family { part: Part::Bias, ..Family::of(&[Role::DiffB], |group, _| full(group, Role::DiffB)) },
    Family::of(&[Role::WNorm], |group, _| full(group, Role::WNorm)),
    Family { part: Part::Bias, ..Family::of(&[Role::BNorm], |group, _| full(group, Role::BNorm)) },
];

impl Family {
    /// A family that changes weights and is shown by any of its roles.
    const fn of(roles: &'static [Role], recognise: FromGroup) -> Family {
        Family { roles, identifying_roles: usize::MAX, part: Part::Weight, takes_magnitudes: false, from_group: recognise }
    }
}

fn full(group: &Group, role: Role) -> Result<Box<dyn Change>, LeftoverReason> {
    Ok(Box::new(Full::from_group(group, role)?))
}
