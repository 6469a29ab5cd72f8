//! Algorithm families: the roles that identify each family, and the constructor of its change.

use super::delta::{Change, Part};
use super::full::Full;
use super::glora::{self, Glora};
use super::group::Group;
use super::ia3::{self, Ia3};
use super::leftover::LeftoverReason;
use super::loha::{self, Loha};
use super::lokr::{self, Lokr};
use super::lora::{self, Lora};
use super::oft::{self, Oft};
use crate::model::Module;
use crate::model::spelling::Role;

/// Creates the change of a layer from a group, or returns why its tensors do not match.
type FromGroup = fn(&Group, &Module) -> Result<Box<dyn Change>, LeftoverReason>;

/// An algorithm family.
pub(super) struct Family {
    /// Roles of its tensors.
    pub(super) roles: &'static [Role],
    /// Number of leading roles of which any identifies the family.
    pub(super) identifying_roles: usize,
    pub(super) part: Part,
    /// Whether it can be combined with DoRA magnitudes.
    pub(super) takes_magnitudes: bool,
    pub(super) from_group: FromGroup,
}

/// Every family. Their roles are disjoint, so the order does not matter.
pub(super) const FAMILIES: &[Family] = &[
    Family { takes_magnitudes: true, ..Family::of(lora::ROLES, |group, _| Ok(Box::new(Lora::from_group(group)?))) },
    Family {
        takes_magnitudes: true,
        ..Family::of(loha::ROLES, |group, module| Ok(Box::new(Loha::from_group(group, module)?)))
    },
    Family {
        takes_magnitudes: true,
        ..Family::of(lokr::ROLES, |group, module| Ok(Box::new(Lokr::from_group(group, module)?)))
    },
    Family::of(glora::ROLES, |group, _| Ok(Box::new(Glora::from_group(group)?))),
    Family {
        identifying_roles: 1,
        ..Family::of(oft::ROLES, |group, module| Ok(Box::new(Oft::from_group(group, module)?)))
    },
    Family {
        identifying_roles: 1,
        ..Family::of(ia3::ROLES, |group, module| Ok(Box::new(Ia3::from_group(group, module)?)))
    },
    Family::of(&[Role::Diff], |group, _| full(group, Role::Diff)),
    Family { part: Part::Bias, ..Family::of(&[Role::DiffB], |group, _| full(group, Role::DiffB)) },
    Family::of(&[Role::WNorm], |group, _| full(group, Role::WNorm)),
    Family { part: Part::Bias, ..Family::of(&[Role::BNorm], |group, _| full(group, Role::BNorm)) },
];

impl Family {
    /// Returns a family that changes weights and is identified by any of its roles.
    const fn of(roles: &'static [Role], from_group: FromGroup) -> Family {
        Family { roles, identifying_roles: usize::MAX, part: Part::Weight, takes_magnitudes: false, from_group }
    }
}

fn full(group: &Group, role: Role) -> Result<Box<dyn Change>, LeftoverReason> {
    Ok(Box::new(Full::from_group(group, role)?))
}
