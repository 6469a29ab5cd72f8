import type { Report } from "./types.d.ts";

/** `<lora-loupe src="panda.safetensors">`: the report on a file as a card. */
export class LoraLoupe extends HTMLElement {
  /** The last report. */
  readonly report: Report | undefined;
}

declare global {
  interface HTMLElementTagNameMap {
    "lora-loupe": LoraLoupe;
  }
}
