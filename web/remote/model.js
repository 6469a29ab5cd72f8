/**
 * The address of a base model -> the places of its files: one checkpoint, or what a diffusers folder holds. Nothing is
 * read but which files there are and how long they are.
 */

import { asError } from "../core/errors.js";
import { addressOf, fileAddress } from "./address.js";
import { t } from "../words.js";

/** @typedef {import("./address.js").Remote} Remote */
/** @typedef {{ name: string, file: Remote } | { name: string, files: ({ path: string } & Remote)[] }} FarModel */

/** What a folder holds besides weights; SD 1.x and 2.x have no second text encoder. */
const TEXTS = [
  "model_index.json",
  "scheduler/scheduler_config.json",
  "unet/config.json",
  "vae/config.json",
  "text_encoder/config.json",
  "text_encoder_2/config.json",
  ...["tokenizer", "tokenizer_2"].flatMap((folder) =>
    ["vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"].map((name) => `${folder}/${name}`),
  ),
];
/**
 * Weights of each network, the first that is there: halves come in half the time and lose nothing that an image shows.
 */
const WEIGHTS = [
  ...["unet", "vae"].map((network) => [
    `${network}/diffusion_pytorch_model.fp16.safetensors`,
    `${network}/diffusion_pytorch_model.safetensors`,
  ]),
  ...["text_encoder", "text_encoder_2"].map((network) => [
    `${network}/model.fp16.safetensors`,
    `${network}/model.safetensors`,
  ]),
];

/**
 * @param {string} text an address, or a model's name at Hugging Face such as `owner/name`
 * @param {(address: string) => Promise<number>} size how long the file at an address is
 * @returns {Promise<FarModel>}
 */
export async function farModel(text, size) {
  const folder = folderAddress(text.trim());
  if (!folder) {
    const { address, name } = fileAddress(text);
    return { name, file: { address, name, size: await size(address) } };
  }
  const { address, name } = folder;
  /** @param {string} path */
  const found = async (path) => {
    const at = new URL(path, address).href;
    try {
      return [{ path, address: at, name: path, size: await size(at) }];
    } catch (thrown) {
      if (asError(thrown).kind === "missing") return [];
      throw thrown;
    }
  };
  const index = await found("unet/config.json");
  if (!index.length) throw { kind: "address", message: t("far.no_model", { address }) };
  const texts = await Promise.all(TEXTS.map(found));
  const weights = await Promise.all(
    WEIGHTS.map(async ([halves, full]) => {
      const first = await found(halves);
      return first.length ? first : found(full);
    }),
  );
  return { name, files: [...texts, ...weights].flat() };
}

/** A folder's address with a slash at its end, and its name; null for a file's. @param {string} text */
function folderAddress(text) {
  const repository = /^[\w-]+\/[\w.-]+$/.test(text) ? `https://huggingface.co/${text}` : text;
  const url = addressOf(repository);
  if (/\.(safetensors|ckpt|pt|bin)$/i.test(url.pathname)) return null;
  url.search = url.hash = "";
  const parts = url.pathname.split("/").filter(Boolean);
  const name = parts.slice(0, url.host === "huggingface.co" || url.host === "hf.co" ? 2 : undefined).at(-1);
  if (!name) return null;
  if (url.host === "huggingface.co" || url.host === "hf.co") {
    const [owner, model, , revision = "main", ...inside] = parts;
    if (!model) return null;
    return { name, address: new URL(`/${[owner, model, "resolve", revision, ...inside].join("/")}/`, url).href };
  }
  url.pathname = `/${parts.join("/")}/`;
  return { name, address: url.href };
}
