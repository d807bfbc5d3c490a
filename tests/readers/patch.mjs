// examples/clients/dx_patch.mjs against docs/formats/patch.md and pairs that patch_drawn.py made: it gives the targets, and no damage
// leads to another result.
// usage: patch.mjs FOLDER      FOLDER has N.old, N.new, N.patch
import {readFileSync, readdirSync} from "node:fs";
import {applyPatch, blake3, PatchError} from "../../examples/clients/dx_patch.mjs";

const text = readFileSync("docs/formats/patch.md", "utf8"), folder = process.argv[2];
const vector = (name) => Buffer.from(text.match(new RegExp("```hex " + name + "\n([^]*?)```"))[1].replace(/#.*|\s/g, ""), "hex");
const fox = Buffer.from("The quick brown fox jumps over the lazy dog. 0123456789abcdef"), jumped = "The quick brown fox jumped over a lazy dog. 0123456789ABCDEFabcdef";
let cases = 0, seed = 1;
function expect(holds, ...what) {
  cases++;
  if (!holds) throw new Error(what.join(" "));
}
function refusal(base, patch, limits) {
  try {
    applyPatch(base, patch, limits);
  } catch (error) {
    if (error instanceof PatchError) return error.code;
    throw error;
  }
  return null;
}
const random = (below) => (seed = seed * 48271 % 0x7fffffff) % below;

expect(Buffer.from(blake3(Uint8Array.from({length: 102400}, (_, k) => k % 251))).equals(vector("blake3-102400")), "BLAKE3");
expect(Buffer.from(applyPatch(fox, vector("delta-plain"))).toString() === jumped, "delta-plain");
expect(Buffer.from(applyPatch(fox, vector("delta-repeats"))).toString() === Array(3).fill("alpha beta gamma delta epsilon zeta eta theta iota kappa").join("; "), "delta-repeats");
for (const [name, code] of [["delta-range", "ENOTSUP"], ["delta-streams", "ENOTSUP"], ["blocks", "ENOTSUP"]])
  expect(refusal(fox, vector(name)) === code, name);
expect(refusal(fox.subarray(1), vector("delta-plain")) === "EBASE" && refusal(fox, vector("delta-plain"), {most: 65}) === "ETOOBIG", "limits");

const pairs = readdirSync(folder).filter((name) => name.endsWith(".patch")), codings = {};
for (const name of pairs) {
  const [old, now, patch] = ["old", "new", "patch"].map((end) => readFileSync(`${folder}/${name.replace("patch", end)}`));
  codings[patch[7]] = (codings[patch[7]] ?? 0) + 1;
  expect(now.equals(applyPatch(old, patch)), name);
  for (let k = 0; k < 20; k++) { // a changed byte; or a part
    const bad = Buffer.from(random(4) ? patch : patch.subarray(0, random(patch.length)));
    if (bad.length === patch.length) bad[random(patch.length)] ^= 1 << random(8);
    if (old.length > 4000 && k) break; // those take long
    expect(bad.equals(patch) || refusal(old, bad), name, "damaged");
  }
}
expect(pairs.length && codings[1] * 2 > pairs.length, "only", codings[1], "are range coded");
console.log(cases, "cases,", pairs.length, "pairs");
