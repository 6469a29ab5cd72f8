/** What only the bundler understands: the address of a worker, and which build this is. */
declare module "*?worker&url" {
  const url: string;
  export default url;
}

/** What the bundler tells of the build. */
interface ImportMeta {
  readonly env: { readonly PROD: boolean };
}
