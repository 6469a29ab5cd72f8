//! Uniforms of kernels: one struct per kernel, laid out like `Params` in its WGSL.

/// Name and offset in bytes of a field.
pub type Field = (&'static str, usize);

/// Layout of a kernel's uniforms; `tests/kernels.rs` compares it with the WGSL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParamsLayout {
    /// Fields in order.
    pub fields: &'static [Field],
    /// Size in bytes.
    pub size: usize,
}

impl ParamsLayout {
    /// Returns the layout of a struct of uniforms.
    pub const fn of<P: Params>() -> ParamsLayout {
        ParamsLayout { fields: P::FIELDS, size: size_of::<P>() }
    }
}

/// A struct of uniforms, defined by `params!`, or none.
pub trait Params: Sized {
    /// Fields in order.
    const FIELDS: &'static [Field];

    /// Returns the fields' 32-bit words in order.
    fn words(&self) -> Vec<u32>;
}

impl Params for () {
    const FIELDS: &'static [Field] = &[];

    fn words(&self) -> Vec<u32> {
        Vec::new()
    }
}

/// Uniforms of a launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uniforms {
    layout: ParamsLayout,
    words: Vec<u32>,
}

impl Uniforms {
    /// Returns the 32-bit words in order; f32 as bits.
    pub fn words(&self) -> &[u32] {
        &self.words
    }

    /// Returns a 32-bit field by name, or None if the kernel has no such field.
    pub fn get(&self, name: &str) -> Option<u32> {
        let (_, offset) = self.layout.fields.iter().find(|(field, _)| *field == name)?;
        self.words.get(offset / 4).copied()
    }
}

impl<P: Params> From<P> for Uniforms {
    fn from(params: P) -> Uniforms {
        Uniforms { layout: ParamsLayout::of::<P>(), words: params.words() }
    }
}

/// A field type: one or several 32-bit words.
pub trait Words {
    /// Appends the words.
    fn append(self, words: &mut Vec<u32>);
}

impl Words for u32 {
    fn append(self, words: &mut Vec<u32>) {
        words.push(self);
    }
}

impl Words for f32 {
    fn append(self, words: &mut Vec<u32>) {
        words.push(self.to_bits());
    }
}

impl<const N: usize> Words for [[u32; 4]; N] {
    fn append(self, words: &mut Vec<u32>) {
        words.extend(self.into_iter().flatten());
    }
}

/// Defines a struct of uniforms whose fields are in the order of the WGSL.
macro_rules! params {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        $(#[$doc])*
        #[repr(C)]
        #[derive(Debug, Clone, Copy, Default)]
        pub struct $name {
            $(pub $field: $type,)*
        }

        impl crate::gpu::params::Params for $name {
            const FIELDS: &'static [crate::gpu::params::Field] =
                &[$((stringify!($field), std::mem::offset_of!($name, $field))),*];

            fn words(&self) -> Vec<u32> {
                let mut words = Vec::with_capacity(size_of::<$name>() / 4);
                $(crate::gpu::params::Words::append(self.$field, &mut words);)*
                words
            }
        }
    };
}
pub(super) use params;
