//! Prints the keys and shapes of each family's single-file checkpoint, from its published config, as JSON lines
//! `[family, component, diffusers path, LDM path, part, shape]`. make/single_file.py checks and stores them.

use lora_loupe::model::{Component, Family, FamilyId, Module};

pub fn run() {
    for id in FamilyId::ALL {
        let family = Family::published(id).expect("a published config");
        let vae = Family::published_vae(id).expect("a published config");
        let mut modules: Vec<(Component, &Module)> = family.modules();
        modules.extend(vae.modules().into_iter().chain(vae.encoder.modules()).map(|module| (Component::Vae, module)));
        for (component, module) in modules {
            for part in if module.bias { &["weight", "bias"][..] } else { &["weight"] } {
                let shape = if *part == "weight" { module.weight_shape() } else { vec![module.bias_len()] };
                let row = serde_json::json!([id.name(), component.name(), module.path, module.ldm, part, shape]);
                println!("{row}");
            }
        }
    }
}
