//! Turns edits that the page asks for into previews, and into bytes that the page keeps.

use super::convert::{failure, from_js, to_js};
use super::engine::Engine;
use super::sources::{Place, failed};
use crate::edit::{self, Edit, EditError, EditInput, EditProgress};
use crate::formats::{ByteSink, Writing};
use js_sys::{Array, Function, Promise, Uint8Array};
use std::ops::ControlFlow;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

/// Where the page puts a file that is written: `append(bytes)` may promise to have done it.
struct PageSink {
    append: Function,
}

impl ByteSink for PageSink {
    fn write<'a>(&'a mut self, bytes: &'a [u8]) -> Writing<'a> {
        Box::pin(async move {
            let done = self.append.call1(&JsValue::NULL, &Uint8Array::from(bytes)).map_err(failed)?;
            JsFuture::from(Promise::resolve(&done)).await.map_err(failed)?;
            Ok(())
        })
    }
}

#[wasm_bindgen]
impl Engine {
    /// What an [`Edit`] would make of files, in the order that it wants them; writes nothing.
    pub async fn preview_edit(&self, edit: JsValue, places: Array, on_progress: Function) -> Result<JsValue, JsValue> {
        let (edit, places) = asked(edit, &places)?;
        let done = edit::preview(&edit, &inputs(&places), &mut self.listener(&on_progress)).await;
        to_js(&done.map_err(refused)?)
    }

    /// Writes what an [`Edit`] makes of files. `append(bytes)` gets the new file piece by piece; at
    /// the end `begin(bytes)` gets what is to be written over its start.
    pub async fn apply_edit(
        &self,
        edit: JsValue,
        places: Array,
        append: Function,
        begin: Function,
        on_progress: Function,
    ) -> Result<JsValue, JsValue> {
        let (edit, places) = asked(edit, &places)?;
        let mut sink = PageSink { append };
        let done = edit::apply(&edit, &inputs(&places), &mut sink, &mut self.listener(&on_progress)).await;
        let edited = done.map_err(refused)?;
        begin.call1(&JsValue::NULL, &Uint8Array::from(edited.outcome.head.as_slice()))?;
        to_js(&edited)
    }

    /// Ends every edit that is running, at its next read.
    pub fn stop_edit(&self) {
        self.editing.set(self.editing.get() + 1);
    }
}

impl Engine {
    /// Tells the page of each hundredth, and the edit whether to go on.
    fn listener<'a>(&'a self, on_progress: &'a Function) -> impl FnMut(EditProgress) -> ControlFlow<()> + 'a {
        let turn = self.editing.get();
        let mut told = 0;
        move |progress: EditProgress| {
            let hundredth = 100 * progress.done / progress.total.max(1);
            if hundredth > told {
                told = hundredth;
                if let Ok(progress) = to_js(&progress) {
                    // A listener that throws must not cost the file.
                    let _ = on_progress.call1(&JsValue::NULL, &progress);
                }
            }
            if self.editing.get() == turn { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        }
    }
}

fn asked(edit: JsValue, places: &Array) -> Result<(Edit, Vec<Place>), JsValue> {
    let places = places.iter().map(|place| Place::of(&place)).collect::<Result<_, _>>()?;
    Ok((from_js("the change", edit)?, places))
}

fn inputs(places: &[Place]) -> Vec<EditInput<'_>> {
    fn input(place: &Place) -> EditInput<'_> {
        EditInput::file(&place.name, place.source.as_ref(), place.config.as_deref())
    }
    places.iter().map(input).collect()
}

fn refused(error: EditError) -> JsValue {
    let kind = if matches!(error, EditError::Stopped) { "cancelled" } else { "edit" };
    failure(kind, error.to_string())
}
