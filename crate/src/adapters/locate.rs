//! Lookup of the layers that a file's groups address, by name or by position.

use super::group::Group;
use crate::model::spelling::{KeyTable, ModuleMatch, NamingScheme, Role};
use crate::model::{Component, Module, positional};
use std::collections::BTreeMap;

/// Returns the layer of each group, or `None` if the model does not have it.
///
/// Names are looked up. A position (`unet:12`, or `:12` in a file that is a bare list) is an index into one of the
/// network's layer orders: the one that has as many layers as the file and best matches its sizes.
pub fn locate<'a>(groups: &[Group], spellings: &KeyTable<'a>) -> Vec<Option<ModuleMatch<'a>>> {
    let modules = spellings.modules();
    let mut found: Vec<Option<ModuleMatch>> =
        groups.iter().map(|group| spellings.find(&group.stem, group.peft)).collect();
    let mut by_network: BTreeMap<&str, BTreeMap<usize, usize>> = BTreeMap::new();
    for (index, group) in groups.iter().enumerate() {
        if let Some((network, position)) = position(&group.stem) {
            by_network.entry(network).or_default().insert(position, index);
        }
    }
    for (network, positions) in by_network {
        let components =
            Component::ALL.into_iter().filter(|component| network.is_empty() || component.name() == network);
        let orders = components.flat_map(|component| {
            positional::orders(component, modules).into_iter().map(move |order| (component, order))
        });
        let complete =
            |order: &[&Module]| order.len() == positions.len() && positions.keys().copied().eq(0..order.len());
        let candidates = orders.filter(|(_, order)| complete(order));
        let score = |order: &[&Module]| {
            let fits = positions.values().zip(order).map(|(&index, module)| fit(&groups[index], module));
            fits.fold((0, 0), |(exact, proportional), (is_exact, is_proportional)| {
                (exact + usize::from(is_exact), proportional + usize::from(is_proportional))
            })
        };
        // Ties go to the first candidate, which is the newest order.
        let best = candidates
            .map(|(component, order)| (score(&order), component, order))
            .reduce(|best, next| if next.0 > best.0 { next } else { best });
        if let Some((_, component, order)) = best {
            for (&index, &module) in positions.values().zip(&order) {
                let names = NamingScheme::Place;
                let convention = "cloneofsimo";
                found[index] = Some(ModuleMatch { component, module, convention, names, prefix: "", compiled: false });
            }
        }
    }
    found
}

/// Splits "unet:12" into network and position.
fn position(stem: &str) -> Option<(&str, usize)> {
    let (network, position) = stem.split_once(':')?;
    Some((network, position.parse().ok()?))
}

/// Returns whether a pair has a layer's sizes, and whether it has their ratio.
fn fit(group: &Group, module: &Module) -> (bool, bool) {
    let axis = |role, axis: usize| group.get(role).and_then(|tensor| tensor.shape.get(axis).copied());
    let shape = module.weight_shape();
    let (Some(outputs), Some(inputs), &[rows, columns, ..]) = (axis(Role::Up, 0), axis(Role::Down, 1), &*shape) else {
        return (false, false);
    };
    let kernel = group.get(Role::Down).map_or(&[][..], |tensor| tensor.shape.get(2..).unwrap_or_default());
    let same_rank = kernel.len() + 2 == shape.len();
    (
        same_rank && (outputs, inputs) == (rows, columns),
        same_rank && outputs.checked_mul(columns) == inputs.checked_mul(rows),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::{Dtype, TensorInfo};
    use crate::model::{Family, FamilyId};

    /// Returns a pair of rank 4 for this layer at this position.
    fn pair(position: usize, module: &Module) -> Group {
        let shape = module.weight_shape();
        let tensor = |shape: Vec<usize>| TensorInfo::contiguous(String::new(), Dtype::F16, shape, 0..0);
        let down = [&[4], &shape[1..]].concat();
        let tensors = BTreeMap::from([(Role::Up, tensor(vec![shape[0], 4])), (Role::Down, tensor(down))]);
        Group { stem: format!("unet:{position}"), tensors, numbers: BTreeMap::new(), peft: false }
    }

    #[test]
    fn sizes_select_the_order_of_positions() {
        let family = Family::published(FamilyId::Sd15).expect("a published config");
        let modules = family.modules();
        for order in positional::orders(Component::Unet, &modules) {
            let groups: Vec<Group> =
                order.iter().enumerate().map(|(position, module)| pair(position, module)).collect();
            let spellings = KeyTable::new(&modules);
            let found = locate(&groups, &spellings);
            let paths = found.iter().map(|found| found.map(|found| found.module.path.as_str()));
            assert!(paths.eq(order.iter().map(|module| Some(module.path.as_str()))));
            assert!(locate(&groups[1..], &spellings).iter().all(Option::is_none), "a list with a gap matches no layer");
        }
    }
}
