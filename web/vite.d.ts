/** The one import that only the bundler understands: a worker's address. */
declare module "*?worker&url" {
  const url: string;
  export default url;
}
