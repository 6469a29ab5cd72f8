//! Globals and calls: recorded or rejected by name, never imported or executed.

use super::super::FormatError;
use super::globals::{Danger, allow, danger};
use super::machine::{Machine, NOTHING};
use super::names::COMPUTED;
use super::value::{Id, Value};

/// Maximum number of globals listed per pickle; one with tensors needs a dozen.
const MAX_IMPORTS: usize = 1000;

/// Maximum length of a global's name, in bytes.
const MAX_GLOBAL: usize = 1024;

/// Returns whether a global with this name can exist; other bytes that parse as an import rarely have such a name.
fn is_name(name: &str) -> bool {
    name.chars().all(|letter| letter.is_alphanumeric() || matches!(letter, '_' | '.'))
}

impl Machine<'_> {
    /// Pushes a global: records it, or rejects one that is not harmless. Equal globals are one value, so that memory
    /// stays proportional to the bytes.
    pub fn global(&mut self, name: String) -> Result<(), FormatError> {
        let name = if name.len() > MAX_GLOBAL { COMPUTED.to_owned() } else { name };
        if let Some(&id) = self.globals.get(&name) {
            self.stack.push(id);
            return Ok(());
        }
        let Some(imports) = &mut self.imports else {
            let name = allow(name)?;
            self.globals.insert(name.clone(), self.values.len());
            self.push(Value::Global(name));
            return Ok(());
        };
        // Dangerous ones are not crowded out by others.
        let max = if danger(&name) == Danger::Dangerous { 2 * MAX_IMPORTS } else { MAX_IMPORTS };
        if imports.len() < max && (name == COMPUTED || is_name(&name)) && !imports.contains(&name) {
            imports.push(name.clone());
        }
        if self.globals.len() < 2 * MAX_IMPORTS {
            self.globals.insert(name, self.values.len());
        }
        // The name of a global is not needed once it is listed.
        self.push(Value::Global(String::new()));
        Ok(())
    }

    /// Pushes the global whose module and name are the next two lines.
    pub fn global_by_lines(&mut self) -> Result<(), FormatError> {
        let name = format!("{}.{}", self.line()?, self.line()?);
        self.global(name)
    }

    /// Pushes the global whose module and name are on the stack.
    pub fn global_by_stack(&mut self) -> Result<(), FormatError> {
        let (name, module) = (self.pop()?, self.pop()?);
        let name = match (&self.values[name], &self.values[module]) {
            (Value::Text(name), Value::Text(module)) if name.len().max(module.len()) <= MAX_GLOBAL => {
                format!("{module}.{name}")
            }
            // More likely bytes that are no pickle.
            _ if self.is_wrong => String::new(),
            _ => COMPUTED.to_owned(),
        };
        self.global(name)
    }

    /// Pushes the global that has a number in the registry of the program that reads the pickle.
    pub fn global_by_number(&mut self, width: u64) -> Result<(), FormatError> {
        let number = self.read_le(width)?;
        self.global(format!("copyreg_extension_{number}"))
    }

    /// Describes the instance of the global in the next two lines, with the values above the last MARK as its
    /// arguments.
    pub fn instance(&mut self) -> Result<(), FormatError> {
        self.global_by_lines()?;
        let class = self.pop()?;
        self.marked_list()?;
        let arguments = self.pop()?;
        self.call(class, arguments)
    }

    /// Describes the instance of the class that is the first value above the last MARK, with the others as its
    /// arguments.
    pub fn object(&mut self) -> Result<(), FormatError> {
        let mut arguments = self.pop_mark()?;
        if arguments.is_empty() {
            arguments.push(self.wrong("pickle.no_class", NOTHING)?);
        }
        let class = arguments.remove(0);
        self.push(Value::List(arguments));
        let arguments = self.pop()?;
        self.call(class, arguments)
    }

    /// Describes the call of the function and the arguments on the stack.
    pub fn reduce(&mut self) -> Result<(), FormatError> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        self.call(function, arguments)
    }

    /// Describes a call without executing it; the calls that build plain values become those values.
    pub fn call(&mut self, function: Id, arguments: Id) -> Result<(), FormatError> {
        let Value::Global(name) = &self.values[function] else {
            let value = self.wrong("pickle.no_global", Value::None)?;
            self.push(value);
            return Ok(());
        };
        let list = match &self.values[arguments] {
            Value::List(list) => list.as_slice(),
            _ => &[],
        };
        match (name.as_str(), list) {
            ("collections.OrderedDict" | "collections.Counter" | "builtins.dict" | "__builtin__.dict", list) => {
                let items = list.first().copied();
                self.dictionary(items);
            }
            ("collections.defaultdict", list) => {
                let items = list.get(1).copied();
                self.dictionary(items);
            }
            (
                "torch._utils._rebuild_parameter"
                | "torch._utils._rebuild_parameter_with_state"
                | "torch._utils._rebuild_device_tensor_from_cpu_tensor"
                | "torch.nn.parameter.Parameter"
                | "torch.nn.parameter.Buffer"
                | "torch.Size",
                &[value, ..],
            ) => self.stack.push(value),
            // The function, the class, the function's arguments.
            (
                "torch._tensor._rebuild_from_type" | "torch._tensor._rebuild_from_type_v2",
                &[function, _, arguments, ..],
            ) => self.push(Value::Call { function, arguments }),
            _ => self.push(Value::Call { function, arguments }),
        }
        Ok(())
    }

    /// Pushes the dictionary `items`, or one of the pairs that `items` lists. The list becomes the dictionary, so that
    /// repeated calls do not multiply it.
    pub fn dictionary(&mut self, items: Option<Id>) {
        let pair = |id: &Id| match &self.values[*id] {
            Value::List(pair) => pair.as_slice().try_into().ok().map(|[key, value]: [Id; 2]| (key, value)),
            _ => None,
        };
        match items.map(|id| (id, &self.values[id])) {
            Some((id, Value::List(list))) => {
                let pairs = list.iter().filter_map(pair).collect();
                self.values[id] = Value::Dict(pairs);
                self.stack.push(id);
            }
            Some((id, Value::Dict(_))) => self.stack.push(id),
            _ => self.push(Value::Dict(Vec::new())),
        }
    }

    /// Drops the attributes on the stack, which the readers do not need. Attributes of a global would change the code
    /// of the program that reads the pickle.
    pub fn build(&mut self) -> Result<(), FormatError> {
        self.pop()?;
        let is_listed = self.imports.is_some();
        match self.top()? {
            Value::Global(name) if !is_listed => Err(FormatError::UnsafePickle(name.clone())),
            _ => Ok(()),
        }
    }
}
