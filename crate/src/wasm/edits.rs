//! Edits: previews, and new files streamed to the page.

use super::convert::{failure_said, from_js, to_js};
use super::inspector::Inspector;
use super::sources::{Place, failed};
use crate::edit::{self, Edit, EditError, EditInput, EditProgress};
use crate::formats::{ByteSink, WriteFuture};
use js_sys::{Array, Function, Promise, Uint8Array};
use std::ops::ControlFlow;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

/// A sink that passes the file to the page's `append(bytes)`, which may return a promise.
struct PageSink {
    append: Function,
}

impl ByteSink for PageSink {
    fn write<'a>(&'a mut self, bytes: &'a [u8]) -> WriteFuture<'a> {
        Box::pin(async move {
            let done = self.append.call1(&JsValue::NULL, &Uint8Array::from(bytes)).map_err(failed)?;
            JsFuture::from(Promise::resolve(&done)).await.map_err(failed)?;
            Ok(())
        })
    }
}

#[wasm_bindgen]
impl Inspector {
    /// Returns the changes that an [`Edit`] would make, as [`Preview`](edit::Preview); `places` are its inputs in
    /// order. Writes nothing.
    pub async fn preview_edit(&self, edit: JsValue, places: Array, on_progress: Function) -> Result<JsValue, JsValue> {
        let (edit, places) = parse(edit, &places)?;
        let done = edit::preview(&edit, &inputs(&places), &mut self.listener(&on_progress)).await;
        to_js(&done.map_err(refused)?)
    }

    /// Applies an [`Edit`]. `append(bytes)` receives the new file in pieces; at the end `begin(bytes)`
    /// receives the final header, which replaces the start of the file.
    pub async fn apply_edit(
        &self,
        edit: JsValue,
        places: Array,
        append: Function,
        begin: Function,
        on_progress: Function,
    ) -> Result<JsValue, JsValue> {
        let (edit, places) = parse(edit, &places)?;
        let mut sink = PageSink { append };
        let done = edit::apply(&edit, &inputs(&places), &mut sink, &mut self.listener(&on_progress)).await;
        let edited = done.map_err(refused)?;
        begin.call1(&JsValue::NULL, &Uint8Array::from(edited.outcome.head.as_slice()))?;
        to_js(&edited)
    }

    /// Cancels all running edits at their next read.
    pub fn stop_edit(&self) {
        self.editing.set(self.editing.get() + 1);
    }
}

impl Inspector {
    /// Returns a callback that reports each percent to the page and breaks after [`Inspector::stop_edit`].
    fn listener<'a>(&'a self, on_progress: &'a Function) -> impl FnMut(EditProgress) -> ControlFlow<()> + 'a {
        let generation = self.editing.get();
        let mut last_percent = 0;
        move |progress: EditProgress| {
            let percent = 100 * progress.done / progress.total.max(1);
            if percent > last_percent {
                last_percent = percent;
                if let Ok(progress) = to_js(&progress) {
                    // An exception in the callback must not abort the edit.
                    let _ = on_progress.call1(&JsValue::NULL, &progress);
                }
            }
            if self.editing.get() == generation { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        }
    }
}

fn parse(edit: JsValue, places: &Array) -> Result<(Edit, Vec<Place>), JsValue> {
    let places = places.iter().map(|place| Place::of(&place)).collect::<Result<_, _>>()?;
    Ok((from_js("the edit", edit)?, places))
}

fn inputs(places: &[Place]) -> Vec<EditInput<'_>> {
    fn input(place: &Place) -> EditInput<'_> {
        EditInput::file(&place.name, place.source.as_ref(), place.config.as_deref())
    }
    places.iter().map(input).collect()
}

fn refused(error: EditError) -> JsValue {
    let kind = if matches!(error, EditError::Stopped) { "cancelled" } else { "edit" };
    failure_said(kind, error.sentence())
}
