/** What a runner of GitHub does with action.yml: its inputs, and its steps in a folder. Only the YAML that the file has is read. */
import { spawnSync } from 'node:child_process';

/**
 * @param {string} text of action.yml
 * @returns {{ inputs: Record<string, string>, steps: { name: string, run: string, env: Record<string, string> }[] }} the
 * defaults of the inputs, and the steps with a script
 */
export function readAction(text) {
  const [inputs, steps] = [/^inputs:\n([\s\S]*?)^\S/m, /^ {2}steps:\n([\s\S]*)/m].map((part) => part.exec(text)[1]);
  return {
    inputs: Object.fromEntries(
      [...inputs.matchAll(/^ {2}(\w+):\n(?: {4}.*\n)*? {4}default: "?(.*?)"?$/gm)].map(([, ...pair]) => pair),
    ),
    steps: steps
      .split(/^ {4}- /m)
      .filter((step) => /^ {6}run:/m.test(step))
      .map((step) => {
        const [, line, block] = /^ {6}run: (?:(?!\|)(.*)|\|\n([\s\S]*))$/m.exec(step);
        const env = [...step.matchAll(/^ {8}(\w+): (\$\{\{.*\}\})$/gm)].map(([, ...pair]) => pair);
        return {
          name: /^name: (.*)$/m.exec(step)[1],
          run: line ?? block.replace(/^ {8}/gm, ''),
          env: Object.fromEntries(env),
        };
      }),
  };
}

/**
 * Runs the steps until one fails.
 * @param {ReturnType<typeof readAction>} action
 * @param {Record<string, string>} given the `with` of the workflow
 * @param {string} folder
 * @param {NodeJS.ProcessEnv} env
 */
export function runAction(action, given, folder, env) {
  const inputs = { ...action.inputs, ...given };
  const value = (expression) => expression.replace(/\$\{\{ inputs\.(\w+) \}\}/g, (_, name) => inputs[name]);
  let told = { status: 0, stdout: '', stderr: '' };
  for (const step of action.steps) {
    const values = Object.entries(step.env).map(([name, expression]) => [name, value(expression)]);
    const bash = ['--noprofile', '--norc', '-eo', 'pipefail', '-c', step.run];
    told = spawnSync('bash', bash, { cwd: folder, encoding: 'utf8', env: { ...env, ...Object.fromEntries(values) } });
    if (told.status !== 0) break;
  }
  return told;
}
