//! Turns a file's groups into the layers that they mean, by name or by place.

use super::group::Group;
use crate::model::spelling::{ModuleMatch, NamingScheme, Role, Spellings};
use crate::model::{Component, Module, positional};
use std::collections::BTreeMap;

/// The layer of each group, where the model has it.
///
/// Names are looked up. A place (`unet:12`, or `:12` in a file that is a bare list) counts in the
/// one of the network's orders that has as many layers as the file and fits its sizes best.
pub fn locate<'a>(groups: &[Group], spellings: &Spellings<'a>) -> Vec<Option<ModuleMatch<'a>>> {
    let modules = spellings.modules();
    let mut found: Vec<Option<ModuleMatch>> = groups.iter().map(|group| spellings.find(&group.stem, group.peft)).collect();
    let mut placed: BTreeMap<&str, BTreeMap<usize, usize>> = BTreeMap::new();
    for (index, group) in groups.iter().enumerate() {
        if let Some((network, place)) = place(&group.stem) {
            placed.entry(network).or_default().insert(place, index);
        }
    }
    for (network, places) in placed {
        let components =
            Component::ALL.into_iter().filter(|component| network.is_empty() || component.name() == network);
        let orders = components.flat_map(|component| {
            positional::orders(component, modules).into_iter().map(move |order| (component, order))
        });
        let complete = |order: &[&Module]| order.len() == places.len() && places.keys().copied().eq(0..order.len());
        let fitting = orders.filter(|(_, order)| complete(order));
        let score = |order: &[&Module]| {
            let fits = places.values().zip(order).map(|(&index, module)| fit(&groups[index], module));
            fits.fold((0, 0), |(exact, shaped), (is_exact, is_shaped)| {
                (exact + usize::from(is_exact), shaped + usize::from(is_shaped))
            })
        };
        // Of equals the first counts, which is the one with the newest order.
        let best = fitting
            .map(|(component, order)| (score(&order), component, order))
            .reduce(|best, next| if next.0 > best.0 { next } else { best });
        if let Some((_, component, order)) = best {
            for (&index, &module) in places.values().zip(&order) {
                let names = NamingScheme::Place;
                found[index] = Some(ModuleMatch { component, module, convention: "cloneofsimo", names, prefix: "" });
            }
        }
    }
    found
}

/// "unet:12" to network and place.
fn place(stem: &str) -> Option<(&str, usize)> {
    let (network, place) = stem.split_once(':')?;
    Some((network, place.parse().ok()?))
}

/// Whether a pair has a layer's sizes, and whether it has their proportion.
fn fit(group: &Group, module: &Module) -> (bool, bool) {
    let axis = |role, axis: usize| group.get(role).and_then(|tensor| tensor.shape.get(axis).copied());
    let shape = module.weight_shape();
    let (Some(outputs), Some(inputs), &[wide, deep, ..]) = (axis(Role::Up, 0), axis(Role::Down, 1), &*shape) else {
        return (false, false);
    };
    let kernel = group.get(Role::Down).map_or(&[][..], |tensor| tensor.shape.get(2..).unwrap_or_default());
    let same_kind = kernel.len() + 2 == shape.len();
    (same_kind && (outputs, inputs) == (wide, deep), same_kind && outputs.checked_mul(deep) == inputs.checked_mul(wide))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::{Dtype, TensorInfo};
    use crate::model::{Family, FamilyId};

    /// A pair of rank 4 for this layer at this place.
    fn pair(place: usize, module: &Module) -> Group {
        let shape = module.weight_shape();
        let tensor = |shape: Vec<usize>| TensorInfo { name: String::new(), dtype: Dtype::F16, shape, bytes: 0..0 };
        let down = [&[4], &shape[1..]].concat();
        let tensors = BTreeMap::from([(Role::Up, tensor(vec![shape[0], 4])), (Role::Down, tensor(down))]);
        Group { stem: format!("unet:{place}"), tensors, numbers: BTreeMap::new(), peft: false }
    }

    #[test]
    fn sizes_tell_which_walk_a_file_counts_in() {
        let family = Family::published(FamilyId::Sd15).expect("a published config");
        let modules = family.modules();
        for order in positional::orders(Component::Unet, &modules) {
            let groups: Vec<Group> = order.iter().enumerate().map(|(place, module)| pair(place, module)).collect();
            let spellings = Spellings::new(&modules);
            let found = locate(&groups, &spellings);
            let paths = found.iter().map(|found| found.map(|found| found.module.path.as_str()));
            assert!(paths.eq(order.iter().map(|module| Some(module.path.as_str()))));
            assert!(locate(&groups[1..], &spellings).iter().all(Option::is_none), "a list with a gap means nothing");
        }
    }
}
