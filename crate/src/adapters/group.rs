//! Turns a file's keys into groups: the tensors that belong to one layer, by role.

use crate::formats::{ByteSource, FormatError, Header, TensorInfo};
use crate::model::spelling::{self, Role};
use std::collections::{BTreeMap, HashMap};

/// The tensors of one layer, as far as keys tell.
#[derive(Debug, Clone)]
pub struct Group {
    /// What their keys share.
    pub stem: String,
    /// Each with its role.
    pub tensors: BTreeMap<Role, TensorInfo>,
    /// The values of those that are one number, once they have been read.
    pub numbers: BTreeMap<Role, f32>,
    /// Whether their suffixes are PEFT's.
    pub peft: bool,
}

impl Group {
    /// The tensor in this role.
    pub fn get(&self, role: Role) -> Option<&TensorInfo> {
        self.tensors.get(&role)
    }

    /// The value of the one-number tensor in this role.
    pub fn number(&self, role: Role) -> Option<f32> {
        self.numbers.get(&role).copied()
    }

    /// The roles of its tensors of one number, which say how strongly it acts.
    pub fn lone_numbers(&self) -> impl Iterator<Item = (Role, &TensorInfo)> {
        let roles = [Role::Alpha, Role::Scale, Role::OnInput].into_iter();
        roles.filter_map(|role| Some((role, self.get(role)?))).filter(|(_, tensor)| tensor.elements() == 1)
    }

    /// Reads the tensors of one number.
    pub async fn read_numbers(&mut self, source: &dyn ByteSource) -> Result<(), FormatError> {
        let mut numbers = BTreeMap::new();
        for (role, tensor) in self.lone_numbers() {
            numbers.extend(tensor.read(source).await?.first().map(|&number| (role, number)));
        }
        self.numbers = numbers;
        Ok(())
    }

    /// Whether any tensor has one of these roles.
    pub fn has_any(&self, roles: &[Role]) -> bool {
        roles.iter().any(|role| self.tensors.contains_key(role))
    }
}

/// Groups the tensors of a file by layer, in the file's order.
/// Returns also those whose key has no known ending, and those whose place was taken.
pub fn group(header: &Header) -> (Vec<Group>, Vec<&TensorInfo>) {
    if let Some(groups) = pairs(header) {
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
    (groups, others)
}

/// The groups of a bare list of tensors (cloneofsimo/lora's .pt): up and down in turn, each pair
/// under its place.
fn pairs(header: &Header) -> Option<Vec<Group>> {
    let mut list: BTreeMap<usize, &TensorInfo> = BTreeMap::new();
    for tensor in &header.tensors {
        list.insert(tensor.name.parse().ok()?, tensor);
    }
    let count = header.tensors.len();
    let whole = count > 0 && count.is_multiple_of(2) && list.keys().copied().eq(0..count);
    let pair = |place: usize| {
        let tensors = BTreeMap::from([
            (Role::Up, list.get(&(2 * place)).copied()?.clone()),
            (Role::Down, list.get(&(2 * place + 1)).copied()?.clone()),
        ]);
        Some(Group { stem: format!(":{place}"), tensors, numbers: BTreeMap::new(), peft: false })
    };
    (0..count / 2).map(pair).collect::<Option<Vec<Group>>>().filter(|_| whole)
}
