//! Groups of a file's tensors: those of one layer, by role.

use crate::formats::{ByteSource, FormatError, Header, TensorInfo};
use crate::model::spelling::{self, Role};
use std::collections::{BTreeMap, HashMap};

/// The tensors whose keys address the same layer.
#[derive(Debug, Clone)]
pub struct Group {
    /// The common part of their keys.
    pub stem: String,
    /// The tensors by role.
    pub tensors: BTreeMap<Role, TensorInfo>,
    /// The values of the scalar tensors, after `Group::read_numbers`.
    pub numbers: BTreeMap<Role, f32>,
    /// Whether their suffixes are those of PEFT.
    pub peft: bool,
}

impl Group {
    /// Returns the tensor with this role.
    pub fn get(&self, role: Role) -> Option<&TensorInfo> {
        self.tensors.get(&role)
    }

    /// Returns the value of the scalar tensor with this role.
    pub fn number(&self, role: Role) -> Option<f32> {
        self.numbers.get(&role).copied()
    }

    /// Returns the scalar tensors, which set the scale or the axis, with their roles.
    pub fn lone_numbers(&self) -> impl Iterator<Item = (Role, &TensorInfo)> {
        let roles = [Role::Alpha, Role::Scale, Role::OnInput].into_iter();
        roles.filter_map(|role| Some((role, self.get(role)?))).filter(|(_, tensor)| tensor.elements() == 1)
    }

    /// Reads the scalar tensors.
    pub async fn read_scalars(&mut self, source: &dyn ByteSource) -> Result<(), FormatError> {
        let mut numbers = BTreeMap::new();
        for (role, tensor) in self.lone_numbers() {
            numbers.extend(tensor.read(source).await?.first().map(|&value| (role, value)));
        }
        self.numbers = numbers;
        Ok(())
    }

    /// Returns whether any tensor has one of these roles.
    pub fn has_any(&self, roles: &[Role]) -> bool {
        roles.iter().any(|role| self.tensors.contains_key(role))
    }
}

/// Groups the tensors of a file by layer, in file order.
/// Also returns the tensors whose key has no known suffix, and those whose role is already taken in their group.
pub fn group(header: &Header) -> (Vec<Group>, Vec<&TensorInfo>) {
    if let Some(groups) = listed_pairs(header) {
        return (groups, Vec::new());
    }
    let mut groups: Vec<Group> = Vec::new();
    let mut by_stem: HashMap<&str, usize> = HashMap::new();
    let mut others = Vec::new();
    for tensor in &header.tensors {
        let Some((stem, suffix)) = spelling::split(&tensor.name) else {
            others.push(tensor);
            continue;
        };
        let index = *by_stem.entry(stem).or_insert_with(|| {
            groups.push(Group { stem: stem.into(), tensors: BTreeMap::new(), numbers: BTreeMap::new(), peft: false });
            groups.len() - 1
        });
        let group = &mut groups[index];
        if group.tensors.contains_key(&suffix.role) {
            others.push(tensor);
            continue;
        }
        group.peft |= suffix.peft;
        group.tensors.insert(suffix.role, tensor.clone());
    }
    share_projections(&mut groups);
    (groups, others)
}

/// Adds VeRA's projections, which belong to no layer, to the groups that they are projections of.
fn share_projections(groups: &mut Vec<Group>) {
    let is_user = |group: &Group| group.has_any(&[Role::VeraLambdaB, Role::VeraLambdaD]);
    let holds = |group: &Group| group.tensors.keys().all(|role| matches!(role, Role::VeraA | Role::VeraB));
    let Some(at) = groups.iter().position(holds).filter(|_| groups.iter().any(is_user)) else { return };
    let shared = groups.remove(at);
    for group in groups.iter_mut().filter(|group| is_user(group)) {
        group.tensors.extend(shared.tensors.clone());
    }
}

/// Returns the groups of a bare list of tensors (cloneofsimo/lora's .pt), which alternates up and down. Each pair's
/// stem is its position.
fn listed_pairs(header: &Header) -> Option<Vec<Group>> {
    let mut list: BTreeMap<usize, &TensorInfo> = BTreeMap::new();
    for tensor in &header.tensors {
        list.insert(tensor.name.parse().ok()?, tensor);
    }
    let count = header.tensors.len();
    let is_complete = count > 0 && count.is_multiple_of(2) && list.keys().copied().eq(0..count);
    let pair = |position: usize| {
        let tensors = BTreeMap::from([
            (Role::Up, list.get(&(2 * position)).copied()?.clone()),
            (Role::Down, list.get(&(2 * position + 1)).copied()?.clone()),
        ]);
        Some(Group { stem: format!(":{position}"), tensors, numbers: BTreeMap::new(), peft: false })
    };
    (0..count / 2).map(pair).collect::<Option<Vec<Group>>>().filter(|_| is_complete)
}
