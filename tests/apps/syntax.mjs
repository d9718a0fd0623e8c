// Prints what tree-sitter's grammar can't parse of each file, one a line: nothing if all is well.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { Language, Parser } from "web-tree-sitter";

function wrong(node) {
  if (node.isError || node.isMissing) return [node];
  return node.children.flatMap(wrong);
}

const languages = new Map();

async function languageOf(name) {
  if (!languages.has(name)) {
    const grammar = `tree-sitter-wasms/out/tree-sitter-${name}.wasm`;
    languages.set(name, await Language.load(createRequire(import.meta.url).resolve(grammar)));
  }
  return languages.get(name);
}

await Parser.init();
for (const path of process.argv.slice(2)) {
  const parser = new Parser();
  parser.setLanguage(await languageOf(path.split(".").pop()));
  for (const { startPosition, text } of wrong(parser.parse(readFileSync(path, "utf8")).rootNode)) {
    console.log(`${path}:${startPosition.row + 1}: ${text.split("\n")[0]}`);
  }
}
