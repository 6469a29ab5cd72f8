/**
 * Names of what the browser keeps for the page: an origin may hold several deployments of it, each below a path of its
 * own. What older versions kept below a path under a name without it is not taken over: it may be another deployment's.
 * Pure.
 */

/**
 * @param {string} name
 * @param {string} path the page's, with slashes around it
 * @returns {string} a name that files may have too
 */
export function scopedName(name, path) {
  const parts = path.split("/").filter(Boolean);
  return [name, ...parts].join("~");
}

/** A name for this deployment. The build lies one folder below the page, the sources two. @param {string} name */
export function scoped(name) {
  const here = import.meta.url;
  return scopedName(name, new URL(import.meta.env?.PROD ? "../" : "../../", here).pathname);
}
