//! The sentences of errors of the modules that make none: configs, tokenizers, schedules, weights, plans and devices.
//! Their own messages, in English, are for logs.

use crate::gpu::GpuError;
use crate::model::{ConfigError, UpscalerError};
use crate::plan::PlanError;
use crate::samplers::ScheduleError;
use crate::sentence::{Sentence, sentence};
use crate::text::TextError;
use crate::weights::WeightsError;

pub(super) fn config(error: &ConfigError) -> Sentence {
    let network = |what: &str| match what {
        "text encoder" => sentence!("image.encoder"),
        "VAE" => sentence!("image.decoder"),
        _ => sentence!("image.unet"),
    };
    match error {
        ConfigError::Unreadable { what, reason } => {
            sentence!("image.config_unreadable", what = network(what), reason = reason)
        }
        ConfigError::Unsupported { what, field, found, supported } => {
            sentence!(
                "image.config_unsupported",
                what = network(what),
                field = *field,
                found = found,
                supported = *supported
            )
        }
        ConfigError::Inconsistent { what, reason } => {
            sentence!("image.config_inconsistent", what = network(what), reason = reason)
        }
    }
}

pub(super) fn upscaler(error: &UpscalerError) -> Sentence {
    match error {
        UpscalerError::Unknown => sentence!("image.no_known_upscaler"),
        UpscalerError::Other(name) => sentence!("image.other_upscaler", name = *name),
        UpscalerError::Tensor(name) => sentence!("image.upscaler_tensor", name = name),
    }
}

pub(super) fn text(error: &TextError) -> Sentence {
    match error {
        TextError::Json { file, source } => {
            sentence!("image.tokenizer_json", file = *file, reason = source.to_string())
        }
        TextError::Merge { line, text, .. } => sentence!("image.tokenizer_merge", line = *line, text = text),
        TextError::MissingToken { token, .. } => sentence!("image.tokenizer_token", token = token),
        TextError::Gzip(error) => sentence!("image.tokenizer_gzip", reason = error.to_string()),
        TextError::TooShort(found) => sentence!("image.tokenizer_short", found = *found),
    }
}

pub(super) fn schedule(error: &ScheduleError) -> Sentence {
    match error {
        ScheduleError::Json(error) => sentence!("image.scheduler_json", reason = error.to_string()),
        ScheduleError::Unsupported { field, value, supported } => {
            sentence!("image.scheduler_field", field = *field, found = value, supported = supported)
        }
        ScheduleError::Steps { sampler, steps, limit } => {
            sentence!("image.steps", sampler = *sampler, found = *steps, limit = *limit)
        }
        ScheduleError::SigmaSpacing { sampler } => sentence!("image.no_schedule_type", sampler = *sampler),
        ScheduleError::OnlyInWebUis { what } => sentence!("image.only_in_web_uis", what = what),
        ScheduleError::Eta(found) => sentence!("image.eta", found = *found),
        ScheduleError::NoEta { sampler } => sentence!("image.no_eta", sampler = *sampler),
        ScheduleError::UnknownSampler { name, available } => {
            sentence!("image.unknown_sampler", name = name, available = available)
        }
    }
}

pub(super) fn weights(error: &WeightsError) -> Sentence {
    match error {
        WeightsError::File { file, source } => sentence!("edit.file", file = file, problem = source.sentence()),
        WeightsError::Missing { component, name } => {
            sentence!("image.no_tensor", component = component.name(), name = name)
        }
        WeightsError::Unknown(name) => sentence!("image.unknown_tensor", name = name),
        WeightsError::Shape { name, found, wanted } => {
            let [found, wanted] = [found, wanted].map(|shape| format!("{shape:?}"));
            sentence!("image.tensor_shape", name = name, found = found, wanted = wanted)
        }
        WeightsError::Delta { adapter, reason } => sentence!("image.adapter", file = adapter, reason = reason),
        WeightsError::Gpu(error) => gpu(error),
        WeightsError::Plan(error) => plan(error),
    }
}

pub(super) fn plan(error: &PlanError) -> Sentence {
    match error {
        PlanError::TooManyTokens { found, limit } => {
            sentence!("image.too_many_tokens", found = *found, limit = *limit)
        }
        PlanError::ClipSkip { found, limit } => sentence!("image.clip_skip", found = *found, limit = *limit),
        PlanError::Size { .. } => sentence!("image.plan", reason = error.to_string()),
        PlanError::Shape { .. } | PlanError::Missing { .. } | PlanError::Length { .. } => internal(error.to_string()),
    }
}

pub(super) fn gpu(error: &GpuError) -> Sentence {
    match error {
        GpuError::NoAdapter(reason) => sentence!("image.no_gpu", reason = reason),
        GpuError::NoDevice(reason) => sentence!("image.gpu_not_opened", reason = reason),
        GpuError::TooLarge { what, bytes, limit } => {
            sentence!("image.gpu_limit", what = what, found = *bytes, limit = *limit)
        }
        GpuError::OutOfMemory(what) => sentence!("image.out_of_memory", what = what),
        GpuError::Lost(reason) => sentence!("image.lost", reason = reason),
        GpuError::Fault { what, message } => sentence!("image.fault", what = what, reason = message),
        GpuError::NotContiguous { .. }
        | GpuError::NoLaunch { .. }
        | GpuError::Missing { .. }
        | GpuError::LengthMismatch { .. }
        | GpuError::StorageMismatch { .. }
        | GpuError::Write { .. } => internal(error.to_string()),
    }
}

fn internal(reason: String) -> Sentence {
    sentence!("image.internal", reason = reason)
}
