//! Algorithm families: the roles that identify each family, and the constructor of its change.

use super::delta::{Change, Part};
use super::full::Full;
use super::glora::{self, Glora};
use super::group::Group;
use super::hra::{self, Hra};
use super::ia3::{self, Ia3};
use super::layer::Layer;
use super::leftover::LeftoverReason;
use super::loha::{self, Loha};
use super::lokr::{self, Lokr};
use super::lora::{self, Lora};
use super::oft::{self, Oft};
use super::oft_v2::{self, OftV2};
use super::peft_boft::{self, PeftBoft};
use super::shira::{self, Shira};
use super::{adalora, delora, miss, vera};
use crate::model::spelling::Role;

/// Creates the change of a layer from a group, if it makes one, or returns why its tensors do not match.
type FromGroup = fn(&Group, &Layer) -> Result<Option<Box<dyn Change>>, LeftoverReason>;

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

/// Every family. A role belongs to one family, except that a tensor may change both a weight and a bias.
pub(super) const FAMILIES: &[Family] = &[
    Family {
        takes_magnitudes: true,
        ..Family::of(lora::ROLES, |group, layer| match group.get(Role::LoraE) {
            Some(_) => boxed(adalora::from_group(group, layer)?),
            None => boxed(Lora::from_group(group, layer)?),
        })
    },
    Family { takes_magnitudes: true, ..Family::of(loha::ROLES, |group, layer| boxed(Loha::from_group(group, layer)?)) },
    Family { takes_magnitudes: true, ..Family::of(lokr::ROLES, |group, layer| boxed(Lokr::from_group(group, layer)?)) },
    Family::of(glora::ROLES, |group, layer| boxed(Glora::from_group(group, layer)?)),
    Family { identifying_roles: 1, ..Family::of(oft::ROLES, |group, layer| boxed(Oft::from_group(group, layer)?)) },
    Family {
        identifying_roles: 1,
        ..Family::of(oft_v2::ROLES, |group, layer| boxed(OftV2::from_group(group, layer)?))
    },
    Family::of(peft_boft::ROLES, |group, layer| boxed(PeftBoft::from_group(group, layer)?)),
    Family { identifying_roles: 1, ..Family::of(ia3::ROLES, |group, layer| boxed(Ia3::from_group(group, layer)?)) },
    Family::of(ia3::PEFT_ROLES, |group, layer| boxed(Ia3::from_peft_group(group, layer)?)),
    Family {
        part: Part::Bias,
        ..Family::of(ia3::PEFT_ROLES, |group, layer| match Ia3::bias_from_peft_group(group, layer)? {
            Some(change) => boxed(change),
            None => Ok(None),
        })
    },
    Family::of(hra::ROLES, |group, layer| boxed(Hra::from_group(group, layer)?)),
    Family::of(miss::ROLES, |group, layer| boxed(miss::from_group(group, layer)?)),
    Family { identifying_roles: 2, ..Family::of(vera::ROLES, |group, layer| boxed(vera::from_group(group, layer)?)) },
    Family::of(delora::ROLES, |group, layer| boxed(delora::from_group(group, layer)?)),
    Family::of(shira::ROLES, |group, layer| boxed(Shira::from_group(group, layer)?)),
    Family::of(&[Role::Diff], |group, _| boxed(Full::from_group(group, Role::Diff)?)),
    Family { part: Part::Bias, ..Family::of(&[Role::DiffB], |group, _| boxed(Full::from_group(group, Role::DiffB)?)) },
    Family::of(&[Role::WNorm], |group, _| boxed(Full::from_group(group, Role::WNorm)?)),
    Family { part: Part::Bias, ..Family::of(&[Role::BNorm], |group, _| boxed(Full::from_group(group, Role::BNorm)?)) },
];

impl Family {
    /// Returns a family that changes weights and is identified by any of its roles.
    const fn of(roles: &'static [Role], from_group: FromGroup) -> Family {
        Family { roles, identifying_roles: usize::MAX, part: Part::Weight, takes_magnitudes: false, from_group }
    }
}

fn boxed(change: impl Change + 'static) -> Result<Option<Box<dyn Change>>, LeftoverReason> {
    Ok(Some(Box::new(change)))
}
