/** What the page itself knows: the state, the actions that change it, and the bundled demo's list. */

import type { JobState } from "./core/jobs.js";
import type { LinkedRecipe, Unusable } from "./share/schema.js";
import type { OptionId } from "./generate/options.js";
import type { DeviceChoice } from "./engine/protocol.js";
import type { Key, Language } from "./words.js";
import type {
  AlphaPlace,
  ComparedFiles,
  Emphasis,
  EngineError,
  Fix,
  KeptRow,
  LayerSpectrum,
  LogExplanation,
  MergeMethod,
  ModelInfo,
  ModuleRow,
  Preview,
  Strengths,
  Target,
  PageProgress,
  GeneratedImage,
  Program,
  RankedWords,
  Recipe,
  Report,
  Rng,
  Series,
  Sentence,
  SeriesSummary,
  Summary,
  Weighing,
  WeightChoice,
} from "./engine/types.d.ts";

/** demo/demo.json. Paths are relative to demo/model/ and demo/loras/, sizes in bytes. */
export type DemoCatalogue = {
  name: string;
  files: { path: string; size: number }[];
  loras: { file: string; size: number; label: string; shows: string; broken?: boolean }[];
  prompts: string[];
  /** Width of the model's text features: what cross-attention takes in. */
  text_width: number;
  /** Channels of the UNet's first level. */
  channels: number;
  defaults: {
    steps: number;
    guidance: number;
    sampler: string;
    seed: number;
    width: number;
    height: number;
  };
};

/** A dropped or picked folder: its files with their paths below it. */
export type Folder = {
  name: string;
  files: { path: string; file: File }[];
  /** Where the browser gives one. */
  handle?: FileSystemDirectoryHandle | null;
};

/** One dropped (or demo) file, or one at an address. The File itself stays in files/opened.js. */
export type Entry = {
  id: string;
  name: string;
  size: number;
  /** Where it lies, if that is not here. */
  address?: string;
  /** It was open in the last visit, whose stack of LoRAs stays as it was. */
  returns?: boolean;
  /** "header": only the header was read, and the rest waits for a click; the file lies far away. */
  status: "reading" | "header" | "read" | "failed";
  /** While it is read: what its header says. */
  report: Report | null;
  /** What mends it, once its numbers are read. */
  fixes: Fix[];
  /** How far the reading of its numbers is, 0 to 1. */
  done: number;
  secondsLeft: number | null;
  /** The model beside whose weights its strengths were measured. */
  beside?: string;
  error: EngineError | null;
};

/**
 * Memory for images, and where that is known from: what a page can address, or the computer's memory, which the graphics
 * processor shares; `nothing`: it is assumed.
 */
export type DeviceMemory = { bytes: number; from: "page" | "computer" | "nothing" };

/** Where images are computed: the graphics card; null for the processor, with the reason unless it was chosen. */
export type DeviceInfo = {
  gpu: { adapter: string; software: boolean } | null;
  reason: string | null;
  memory: DeviceMemory;
  /** Of a processor, what two workers may take together; undefined for one worker. */
  memoryOfTwo?: number;
};

/** The choice of the device. */
export type Device = {
  choice: DeviceChoice;
  /** How the weights of the user's own models are stored. */
  weights: WeightChoice;
  /** `missing`: the choice could not be opened. */
  status: "checking" | "ready" | "missing";
  info: DeviceInfo | null;
  error: EngineError | null;
  /** What the form's images take on a processor. */
  seconds: number | null;
};

export type Demo = {
  catalogue: DemoCatalogue | null;
  status: "none" | "loading" | "ready";
  /** Bytes downloaded so far, and in all. */
  received: number;
  total: number;
};

/** A base model that the user brought. Its files stay in files/opened.js. */
export type OwnModel = { id: string; name: string; kind: "file" | "folder" };

/** A file with a network of a model. */
export type Part = { id: string; name: string };

/** What is drawn with. */
export type Base = {
  /** "demo", or the id of one of `own`. */
  chosen: string;
  own: OwnModel[];
  /** Files of text encoders or a VAE for single-file models. */
  parts: Part[];
  /** Whether the model was refused only because it lacks such files. */
  lacks: boolean;
  /** What the engine says of the chosen model, once it has been opened. */
  info: ModelInfo | null;
  /** The numbers that the form was given by the last model; a number that still has this value follows the next model. */
  usual: Partial<Form>;
  /** The last choice that could be opened. */
  last: string;
  /** What a person typed as a model's address. */
  far: Look["address"];
};

/** One LoRA of the stack. */
export type Row = {
  /** An entry's id, "demo:FILE", or "" for none. */
  id: string;
  on: boolean;
  strength: number;
  /** The text encoders' strength where it differs. */
  textEncoder: number | null;
  /** Strengths of blocks, as IN04=0.5,MID=0 or a list of 12, 17, 20 or 26 numbers; "" for 1 everywhere. */
  blocks: string;
};

/** A row of the last visit's stack, by its file's name; `after`: the names of the rows above it. */
export type SessionRow = Row & { name: string; after?: string[] };

/** The image to start from. Its file stays in files/opened.js; `url` shows it. */
export type Start = { id: string; name: string; url: string };

/** What there is to say above the form: of a restored recipe, a dropped image, a model that does not open. */
export type Remark = {
  kind: string;
  severity: "good" | "warn" | "refuse";
  title: string;
  message: string;
  details: string[];
  /** An image that can be started from. */
  image: Start | null;
};

export type SortKey =
  "order" | "path" | "block" | "algorithm" | "rank" | "alpha" | "scale" | "norm" | "relative" | "dtype";

export type Table = {
  open: boolean;
  sort: SortKey;
  descending: boolean;
  filter: string;
  /** Every row is drawn, not just the first hundred. */
  all: boolean;
};

/** A cell of the coverage strip: "component/block". */
export type BlockKey = string;

/** What a section of the report is drawn from. */
export type Shown = { state: State; entry: Entry; report: Report; send: Send };

/** A section of the report; T is what it is about. */
export type Section<T> = {
  /** The id of its element. */
  id: string;
  /** Its name in the bar of sections; one without a name is not in it. */
  title?: Key;
  /** It is drawn a moment after the first ones, so that no drawing takes long. */
  late?: boolean;
  /** What it is about; null for a file that has nothing of the kind. */
  of: (shown: Shown) => T | null;
  /** It is drawn again only when one of these changes; always if it is left out. */
  from?: (shown: Shown) => unknown[];
  view: (of: T, shown: Shown) => unknown;
};

/** What the Generate form holds: an option's row is in generate/options.js. */
export type Form = {
  prompt: string;
  negative: string;
  /** -1 for another one with each run. */
  seed: Recipe["seed"];
  steps: number;
  guidance: number;
  sampler: string;
  loras: Row[];
  /** Pixels; the demo is always drawn at its own size. */
  width: number;
  height: number;
  /** Spacing of the noise levels and choice of timesteps, "" for the model's own. */
  schedule: "" | NonNullable<Recipe["schedule"]>;
  spacing: "" | NonNullable<Recipe["spacing"]>;
  rng: Rng;
  program: Program;
  /** As the web UIs count: 1 is the last layer. */
  clipSkip: number;
  /** Meaning of the weights in prompts, and whether the shorter of both prompts is filled up, in A1111. */
  emphasis: Emphasis;
  padConds: boolean;
  /** What the model predicts, and zero terminal SNR, "" for what its files say. */
  prediction: "" | NonNullable<Recipe["prediction"]>;
  zeroSnr: "" | "on" | "off";
  /** CFG rescale. */
  guidanceRescale: number;
  /** Settings of A1111 that a restored image has; null for the usual ones. */
  webUi: Recipe["web_ui"] | null;
  variation: Recipe["variation"] | null;
  seedResize: Recipe["seed_resize"] | null;
  /** How far to go from the image to start from. */
  denoise: number;
  /** Share of fresh noise in each step, for samplers that have it; null for the usual. */
  eta: number | null;
  /** What a second pass makes larger: "latent", "pixels", or pixels by the upscaler of this name; "" for no second pass. How many times, and how far it goes. */
  hires: string;
  hiresScale: number;
  hiresDenoise: number;
  /** 0 for as many as the first pass has. */
  hiresSteps: number;
  /** Show the image while it forms. */
  preview: boolean;
  /** Draw again when a strength has changed. */
  live: boolean;
  /** How many times to generate, each with the next seed. */
  batch: number;
  /** Generate the masked area alone, with so many pixels around it, and blur its edge by so many. */
  onlyMasked: boolean;
  maskPadding: number;
  maskBlur: number;
};

/** Styles and templates of prompts; the texts themselves stay in templates/fill.js. */
export type Templates = {
  /** Their part of the form was opened. */
  unfolded: boolean;
  /** Prompts are templates: the seed chooses from {a|b} and __name__. */
  fill: boolean;
  /** Names of the opened files. */
  wildcards: string[];
  /** Names of the styles in the opened styles.csv, and of those that are used. */
  styles: string[];
  chosen: string[];
};

export type Run = {
  /** The job that makes the images, or made the last ones. */
  job: number;
  status: "idle" | "running" | "cancelling";
  /** Which image is being made, from 1. */
  image: number;
  images: number;
  /** A quick image for a moved strength. */
  live: boolean;
  /** The images of a grid. */
  grid: boolean;
  progress: PageProgress | null;
  error: EngineError | null;
};

/** Two images of the same recipe, but for the LoRAs. */
export type Result = {
  /** What decides an image besides its recipe: the model's files, the image to start from. */
  cause: string;
  /** The recipe of `without`. */
  plain: Recipe;
  /** The recipe with the LoRAs, if there are any. */
  recipe: Recipe;
  /** The LoRAs with their strengths, for people. */
  loras: { label: string; strength: number }[];
  /** `with` was drawn in fewer steps than `without`. */
  preview: boolean;
  without: GeneratedImage | null;
  with: GeneratedImage | null;
};

/** One image of this visit. */
export type Drawing = {
  id: number;
  image: GeneratedImage;
  recipe: Recipe;
  /** The LoRAs with their strengths, for people. */
  loras: { label: string; strength: number }[];
};

/** How two images are laid side by side. */
export type Compare = "side" | "slider" | "difference";

export type History = {
  /** The oldest first. */
  items: Drawing[];
  /** Ids of drawings, 0 for none: the one that is looked at, and the one that it is compared with. */
  selected: number;
  pinned: number;
  compare: Compare;
};

/** What changes along one side of a grid; "strength:N" and "blocks:N" are the strength of the Nth LoRA, counted from 0, and those of its blocks. */
export type AxisKind = "none" | "lora" | "search" | `strength:${number}` | `blocks:${number}` | OptionId;

export type Axis = {
  kind: AxisKind;
  /** Numbers, or texts for the prompt, with commas between them, as they are typed. */
  text: string;
  /** Values of an option, or ids of LoRAs. */
  chosen: string[];
};

/** A value along one side, as it is used and as people read it. */
export type Tick = { value: string | number; label: string };

/** Images of one recipe that differ in one or two things. */
export type Grid = {
  title: string;
  x: { name: string; kind: AxisKind; ticks: Tick[] };
  y: { name: string; kind: AxisKind; ticks: Tick[] };
  /** Row by row; null for what is not drawn yet. */
  cells: (Omit<Drawing, "id"> | null)[];
};

/** Two columns of a row of the grid, as they are shown. */
export type VotePair = { row: number; left: number; right: number };

/** A blind vote between the images of a grid: the pairs in order, and the choices so far. */
export type Vote = { pairs: VotePair[]; votes: { pair: VotePair; choice: "left" | "right" | "same" }[] };

/** A step of the guided minute. */
export type GuideStep = "look" | "draw" | "slide" | "swap" | "fix";

/** A message that goes by itself. */
export type Toast = { id: number; text: string };

export type Notice = { id: number; title: string; message: string };

/** The page as an app. */
export type App = {
  /** The page is kept, and opens without a connection. */
  offline: boolean;
  /** A newer version is there and waits. */
  update: boolean;
  /** A newer version runs in another tab or was published: this page cannot load what it has not loaded yet. */
  stale: "" | "other_tab" | "published";
  /** The browser offers to install the page. */
  installable: boolean;
};

/** A file of a folder in the table of many. The File itself stays in files/opened.js. */
export type FolderRow = { id: string; path: string; summary: Summary | null; error: EngineError | null };

/** Many files at once, by their headers. */
export type FolderTable = { rows: FolderRow[]; sort: FolderSort; descending: boolean; filter: string };

/** A training run among the opened files, with their ids in the run's order. */
export type TrainingRun = Series & { ids: string[] };

export type SeriesChart = "norm" | "moved" | "part" | "block" | "loss";

/** The training runs among the opened files, and the numbers of one. */
export type SeriesState = {
  runs: TrainingRun[];
  /** Index of the run on show. */
  chosen: number;
  status: "waiting" | "reading" | "read" | "stopped" | "failed";
  /** 0 to 1. */
  done: number;
  /** Of the layers that have been measured. */
  summary: SeriesSummary | null;
  error: EngineError | null;
  chart: SeriesChart;
  /** What the headers say of the loss, by their keys. */
  losses: { name: string; values: (number | null)[] }[];
};

/** How the previews of a folder's LoRAs are generated; everything else is as in the form. */
export type PreviewForm = Pick<Form, "prompt" | "negative" | "steps" | "guidance" | "width" | "height"> & {
  seed: number;
  strength: number;
};

/** Why a file gets no preview: it is of another kind, broken, or made for another model than the open one. */
export type PreviewReason =
  | { is: "kind"; kind: string }
  | { is: "refused"; verdict: Sentence }
  | { is: "unfit"; base: Report["base"]; model: string; demo: boolean };

/** A LoRA's preview: the image, why it was passed over, or what went wrong. */
export type LoraPreview =
  | { status: "made"; url: string }
  | { status: "skipped"; reason: PreviewReason }
  | { status: "failed"; error: EngineError };

/** Preview images of the LoRAs of a folder, all by one recipe. */
export type Previews = {
  form: PreviewForm;
  /** `made`: all that could be made. */
  status: "idle" | "running" | "stopped" | "made";
  /** The ids of the files that are to have one. */
  ids: string[];
  /** By the files' ids. */
  made: Record<string, LoraPreview>;
  /** Seconds of an image, from those that were generated; null before the first. */
  seconds: number | null;
  /** Why it stopped, unless the user stopped it. */
  error: EngineError | null;
  /** Where they were saved last: how many, and how many were left since a file of their name was there. */
  saved: { n: number; there: number; folder: string; embedded: boolean } | null;
};

/** Previews that an earlier visit left. `again`: the browser can open the folder again. */
export type LeftPreviews = { folder: string; done: number; all: number; again: boolean };

export type FolderSort =
  "file" | "label" | "algorithms" | "rank_high" | "size" | "trigger_words" | "works_in" | "problem";

export type ChangeKind = "convert" | "resize" | "blocks" | "metadata" | "merge" | "bake" | "extract" | "export";

/** What the panel "Change this file" holds, of every kind of change. */
export type ChangeForm = {
  to: "" | Target;
  dtype: "" | "F32" | "F16" | "BF16";
  alpha: AlphaPlace;
  asLora: boolean;
  /** The rank of what cannot become a LoRA without loss. */
  rank: number | null;
  drop: boolean;
  keepLeftovers: boolean;
  without: string[];
  withoutKeys: string[];
  zeroNonFinite: boolean;
  /** The number of blocks of the deeper model that they are moved to. */
  toBlocks: number | null;
  rule: "fixed" | "energy";
  fixed: number;
  /** Per cent. */
  energy: number;
  strengths: Strengths;
  set: [key: string, value: string][];
  remove: string[];
  stripPrivate: boolean;
  repairHashes: boolean;
  /** Of the file on show, and of those merged with it; of a conversion, the base model that it reads. */
  strength: number;
  others: { id: string; strength: number }[];
  /** "blocks": each block comes whole from one file. */
  method: MergeMethod | "blocks";
  /** Per cent of the elements that a sparse method keeps. */
  density: number;
  seed: number;
  /** Per cent of the way from the first file to the second. */
  position: number;
  /** By block: the index of the file that it comes from, the one on show first. */
  donors: Record<string, number>;
};

export type Change = {
  kind: ChangeKind;
  form: ChangeForm;
  status: "idle" | "planning" | "planned" | "writing" | "made" | "failed";
  /** 0 to 1. */
  done: number;
  preview: Preview | null;
  /** The new file, which stays in files/opened.js; of how many tensors numbers were too small for the number type. */
  result: { id: string; name: string; size: number; thinned: number; kept: KeptRow[] } | null;
  error: EngineError | null;
};

/** What the Look act knows beyond the report on show. All but `folder` and `address` belongs to that report. */
export type Look = {
  /** A pasted line of a log, and what it means: null for a line that no known program prints. */
  log: { line: string; answer: LogExplanation | null } | null;
  /** The layer whose numbers are on show, by its path, "" for none. */
  layer: string;
  /** Spectra by the layers' paths; null for a change that is no matrix. */
  spectra: Record<string, LayerSpectrum | null>;
  /** Its strengths are being measured beside the base model's weights; `done` is 0 to 1. */
  weighing: { done: number; error: EngineError | null } | null;
  /** The file that it is compared with. */
  compared: {
    id: string;
    status: "running" | "done" | "failed";
    result: ComparedFiles | null;
    error: EngineError | null;
  } | null;
  /** Words to which it answers, found with the base model; `done` is 0 to 1. */
  triggers: {
    status: "running" | "done" | "failed";
    done: number;
    found: RankedWords | null;
    error: EngineError | null;
  } | null;
  change: Change;
  /** All of the report is on show, not just its upper half. */
  settled: boolean;
  /** Strengths of its blocks, while it is not among the LoRAs that are drawn with. */
  strengths: Strengths;
  folder: FolderTable | null;
  address: { status: "idle" | "asking"; error: EngineError | null };
};

/** A file that stays in this browser. `sha256` is "" while it is incomplete; `address` where it comes from, if that is elsewhere; `own` for the user's own file, which lies where it lay. */
export type KeptFile = {
  key: string;
  name: string;
  address: string;
  sha256: string;
  size: number;
  received: number;
  own?: boolean;
};

/** Something on its way into the library. */
export type Work = { name: string; received: number; size: number; error: EngineError | null };

/** Files that stay in this browser. */
export type Library = {
  /** The browser has room for a library. */
  ready: boolean;
  items: KeptFile[];
  /** Of the demo's files: how many are here, of how many, and their bytes in all. */
  demo: { kept: number; all: number; bytes: number };
  /** By the items' keys. */
  works: Record<string, Work>;
  /** Bytes, of everything that this page keeps. */
  usage: number;
  quota: number;
  /** The browser has promised not to clear it. */
  persisted: boolean;
};

export type State = {
  /** Of the page; words.js has its texts. */
  language: Language;
  library: Library;
  app: App;
  /** All work that runs or waits, in the order in which it was asked for. */
  jobs: JobState[];
  look: Look;
  /** null without a training run among the opened files. */
  series: SeriesState | null;
  /** null while their panel is closed. */
  previews: Previews | null;
  leftPreviews: LeftPreviews | null;
  files: Entry[];
  selected: string;
  device: Device;
  bench: Bench;
  demo: Demo;
  base: Base;
  start: Start | null;
  /** With it: what is white there is drawn anew. */
  mask: Start | null;
  remark: Remark | null;
  /** How many tokens the prompt takes of the model's room. */
  tokens: { used: number; room: number } | null;
  /** Names offered for what is typed in a prompt: `options[at]` would replace the text between `from` and `to`. */
  completion: {
    field?: "prompt" | "negative";
    from: number;
    to: number;
    at: number;
    options: { name: string; text: string }[];
  } | null;
  table: Table;
  pointed: BlockKey;
  chosen: BlockKey;
  rawMetadata: boolean;
  form: Form;
  templates: Templates;
  run: Run;
  result: Result | null;
  compare: Compare;
  history: History;
  axes: { x: Axis; y: Axis };
  grid: Grid | null;
  vote: Vote | null;
  /** The guided minute with the demo: null when it is not on show, else the steps that are done. */
  guide: GuideStep[] | null;
  /** A recipe from a link that waits for files: it is applied when they come, unless the form was `edited` meanwhile. */
  link: { recipe: LinkedRecipe; unusable: Unusable[]; edited: boolean } | null;
  /** Addresses of files that a link leads to, and that are asked for only after a click; `whole` for LoRAs that are to be drawn with. */
  asked: { addresses: string[]; whole: boolean } | null;
  /**
   * The last visit's work: LoRAs of files that are not open yet, names of files and models that a click opens again and
   * of those that only the user can, and whether anything is kept.
   */
  session: { rows: SessionRow[]; waiting: string[]; lost: string[]; kept: boolean };
  smooth: boolean;
  notices: Notice[];
  toasts: Toast[];
  /** Read out by screen readers when it changes. */
  announcement: string;
};

/** Measurements of the graphics card; `all` rows are to come. */
export type Bench = {
  shown: boolean;
  status: "idle" | "running";
  all: number;
  rows: Measured[];
  adapter: string;
  error: EngineError | null;
};
type Measured = import("./engine/types.d.ts").Row;

export type Action =
  | { type: "language/changed"; language: Language }
  | {
      type: "library/listed";
      items: Library["items"];
      demo: Library["demo"];
      usage: number;
      quota: number;
      persisted: boolean;
    }
  | { type: "library/working"; key: string; work: Work | null }
  | { type: "library/keep"; id: string }
  | { type: "library/download"; text: string; wanted: string }
  | { type: "library/resume" | "library/stop" | "library/open" | "library/remove"; key: string }
  | { type: "library/persist" }
  | { type: "library/demo"; keep: boolean }
  | { type: "app/changed"; change: Partial<App> }
  | { type: "app/update" | "app/reload" | "part/missing" }
  | {
      type: "session/restored";
      form: Form | null;
      usual: Base["usual"] | null;
      rows: SessionRow[];
      drawings: Drawing[];
    }
  | { type: "session/waiting"; waiting: string[]; lost: string[] }
  | { type: "session/kept"; kept: boolean }
  | { type: "session/reopen" | "session/dismiss" | "session/forget" }
  | { type: "app/install" }
  | { type: "device/chosen"; choice: DeviceChoice }
  | { type: "device/known"; info: DeviceInfo }
  | { type: "device/failed"; error: EngineError }
  | { type: "device/estimated"; seconds: number | null }
  | { type: "weights/chosen"; weights: WeightChoice }
  | { type: "demo/listed"; catalogue: DemoCatalogue }
  | { type: "demo/try" }
  | { type: "demo/open"; id: string }
  | { type: "guide/closed" }
  | { type: "demo/progress"; received: number; total: number }
  | { type: "demo/ready" }
  | { type: "demo/failed" }
  | {
      type: "files/dropped";
      files: File[];
      handles?: (FileSystemFileHandle | null)[];
      folders: Folder[];
      place: string;
    }
  | { type: "files/pick" }
  | { type: "model/pick" | "model/pick_folder" | "part/pick" }
  | { type: "model/picked"; file: File }
  | { type: "model/used"; id: string }
  | { type: "model/far"; text: string }
  | { type: "model/asking" }
  | { type: "model/answered"; error: EngineError | null }
  | { type: "part/picked"; files: File[] }
  | { type: "part/added"; part: Part }
  | { type: "part/removed"; id: string }
  | { type: "model/chosen"; id: string }
  | { type: "model/added"; model: OwnModel }
  | { type: "model/ready"; info: ModelInfo; said: Pick<Form, "prediction" | "zeroSnr"> }
  | { type: "model/failed"; error: EngineError }
  | { type: "start/picked"; file: File }
  | { type: "start/taken"; start: Start | null }
  | { type: "mask/picked"; file: File }
  | { type: "mask/taken"; mask: Start | null }
  | { type: "restored"; change: Partial<Form>; model: string; remark: Remark }
  | { type: "remark/made"; remark: Remark | null }
  | { type: "tokens/counted"; tokens: State["tokens"] }
  | { type: "row/added" }
  | { type: "row/changed"; index: number; change: Partial<Row> }
  | { type: "row/removed"; index: number }
  | { type: "files/added"; entry: Entry; select: boolean }
  | { type: "files/header"; id: string; report: Report }
  | { type: "files/progress"; id: string; done: number; secondsLeft: number | null; rows: ModuleRow[] }
  | { type: "files/waiting"; id: string }
  | { type: "files/continue"; id: string }
  | { type: "address/open"; text: string; whole?: boolean; linked?: boolean }
  | { type: "address/asking" }
  | { type: "address/answered"; error: EngineError | null }
  | { type: "folder/listed"; rows: FolderRow[] }
  | { type: "folder/summarized"; rows: FolderRow[] }
  | { type: "folder/changed"; change: Partial<FolderTable> }
  | { type: "folder/sorted"; key: FolderSort }
  | { type: "folder/open"; id: string }
  | { type: "folder/save"; as: "csv" | "json" }
  | { type: "folder/closed" }
  | { type: "previews/open" | "previews/close" | "previews/start" | "previews/stop" }
  | { type: "previews/resume" | "previews/forget" }
  | { type: "previews/opened"; form: PreviewForm }
  | { type: "previews/changed"; change: Partial<PreviewForm> }
  | { type: "previews/begun"; ids: string[]; anew: boolean }
  | { type: "previews/made"; id: string; preview: LoraPreview; seconds: number | null }
  | { type: "previews/ended"; status: "stopped" | "made"; error: EngineError | null }
  | { type: "previews/save"; as: "zip" | "folder" | "embedded" }
  | { type: "previews/saved"; saved: NonNullable<Previews["saved"]> }
  | { type: "previews/left"; left: LeftPreviews | null }
  | { type: "vote/started"; pairs: VotePair[] }
  | { type: "vote/given"; choice: "left" | "right" | "same" }
  | { type: "vote/ended" }
  | { type: "series/found"; runs: TrainingRun[] }
  | { type: "series/chosen"; at: number }
  | { type: "series/start" | "series/stop" | "series/stopped" | "series/read" | "series/save" | "series/draw" }
  | { type: "series/summarized"; summary: SeriesSummary; done: number }
  | { type: "series/failed"; error: EngineError }
  | { type: "series/chart"; chart: SeriesChart }
  | { type: "series/losses"; losses: SeriesState["losses"] }
  | { type: "log/explain"; line: string }
  | { type: "log/explained"; id: string; line: string; answer: LogExplanation | null }
  | { type: "layer/chosen"; path: string }
  | { type: "layer/measured"; id: string; path: string; spectrum: LayerSpectrum | null }
  | { type: "triggers/find"; id: string }
  | { type: "triggers/progress"; id: string; done: number }
  | { type: "triggers/found"; id: string; found: RankedWords }
  | { type: "triggers/failed"; id: string; error: EngineError }
  | { type: "triggers/stop" }
  | { type: "triggers/stopped"; id: string }
  | { type: "weigh/start"; id: string }
  | { type: "weigh/progress"; id: string; done: number }
  | { type: "weigh/done"; id: string; weighing: Weighing; model: string }
  | { type: "weigh/failed"; id: string; error: EngineError }
  | { type: "weigh/stop" }
  | { type: "weigh/stopped"; id: string }
  | { type: "compare/start"; id: string }
  | { type: "compare/done"; id: string; other: string; result: ComparedFiles }
  | { type: "compare/failed"; id: string; other: string; error: EngineError }
  | { type: "look/settled" }
  | { type: "blocks/edited"; strengths: Strengths }
  | { type: "change/opened"; kind: ChangeKind; form?: Partial<ChangeForm> }
  | { type: "change/edited"; change: Partial<ChangeForm> }
  | { type: "change/plan" }
  | { type: "change/planned"; preview: Preview }
  | { type: "change/make" }
  | { type: "change/progress"; done: number }
  | { type: "change/made"; preview: Preview; result: NonNullable<Change["result"]> }
  | { type: "change/failed"; error: EngineError }
  | { type: "change/stop" }
  | { type: "change/stopped" }
  | { type: "change/save" }
  | { type: "change/look" }
  | { type: "tag/toggled"; tag: string }
  | { type: "report/copy" }
  | { type: "report/save" }
  | { type: "files/read"; id: string; report: Report; fixes: Fix[] }
  | { type: "files/failed"; id: string; error: EngineError }
  | { type: "files/select"; id: string }
  | { type: "files/close"; id: string }
  | { type: "table/changed"; change: Partial<Table> }
  | { type: "table/sorted"; key: SortKey }
  | { type: "block/pointed"; block: BlockKey }
  | { type: "block/chosen"; block: BlockKey }
  | { type: "metadata/raw"; raw: boolean }
  | { type: "form/changed"; change: Partial<Form> }
  | { type: "templates/changed"; change: Partial<Templates> }
  | { type: "templates/unfolded" }
  | { type: "templates/picked"; files: File[] }
  | { type: "templates/close" }
  | { type: "jobs/changed"; jobs: JobState[] }
  | { type: "job/cancel"; id: number }
  | { type: "run/generate" }
  | { type: "run/started"; job: number; images: number; live?: boolean; grid?: boolean }
  | { type: "run/image"; job: number; image: number }
  | { type: "run/progress"; job: number; progress: PageProgress }
  | { type: "run/result"; job: number; result: Result }
  | { type: "bench/shown" | "bench/run" | "bench/stop" | "bench/save" }
  | { type: "bench/measured"; adapter: string; rows: Measured[]; all: number }
  | { type: "bench/ended"; error: EngineError | null }
  | { type: "run/cancel" }
  | { type: "run/skip_tuning" }
  | { type: "run/done" | "run/cancelled"; job: number }
  | { type: "run/failed"; job: number; error: EngineError }
  | { type: "result/compared"; compare: Compare }
  | { type: "history/changed"; change: Partial<Omit<History, "items">> }
  | { type: "history/use"; id: number }
  | { type: "history/save" }
  | {
      type: "image/save" | "image/copy" | "image/enlarge" | "image/start" | "image/inpaint";
      drawing: Omit<Drawing, "id">;
    }
  | { type: "axis/changed"; side: "x" | "y"; change: Partial<Axis> }
  | { type: "grid/draw" }
  | { type: "grid/started"; grid: Grid }
  | { type: "grid/drawn"; at: number; cell: Omit<Drawing, "id"> }
  | { type: "grid/picked"; at: number }
  | { type: "grid/download" | "grid/animate" }
  | { type: "card/save"; as: "png" | "html" }
  | { type: "files/save"; id: string }
  | { type: "link/pending"; link: State["link"] }
  | { type: "link/apply" | "link/forget" }
  | { type: "link/asked"; asked: State["asked"] }
  | { type: "result/smoothed"; smooth: boolean }
  | { type: "prompt/completion"; completion: State["completion"] }
  | { type: "prompt/selected"; field: "prompt" | "negative"; text: string; start: number; end: number }
  | { type: "prompt/unweighable" }
  | { type: "seed/reuse" }
  | { type: "text/copy"; text: string; what: string }
  | { type: "text/copied"; what: string }
  | { type: "file/saved"; name: string }
  | { type: "toast/expired"; id: number }
  | { type: "page/failed"; message: string }
  | { type: "notice/raised"; title: string; message: string }
  | { type: "notice/dismissed"; id: number };

export type Send = (action: Action) => void;
